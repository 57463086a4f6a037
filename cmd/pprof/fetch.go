package pprof

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"
	"golang.org/x/sync/errgroup"
)

// Kinds of profiles that a broker serves.
const (
	CPU       = "cpu"
	Heap      = "heap"
	Mutex     = "mutex"
	Block     = "block"
	Goroutine = "goroutine"
)

// Kinds are all of them, in the order in which they are shown.
var Kinds = []string{CPU, Heap, Mutex, Block, Goroutine}

// patience is how much longer than it looks a broker may take to answer.
const patience = 30 * time.Second

// timed reports whether a profile is of a stretch of time, and not of a moment.
func timed(kind string) bool { return kind == CPU || kind == Mutex || kind == Block }

// Fetch takes profiles of a broker, all over the same stretch of time.
func Fetch(ctx context.Context, admin string, seconds int, kinds ...string) (map[string]*profile.Profile, error) {
	all := make([]*profile.Profile, len(kinds))
	group, ctx := errgroup.WithContext(ctx)
	for i, kind := range kinds {
		group.Go(func() (err error) {
			all[i], err = fetch(ctx, admin, kind, seconds)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	taken := map[string]*profile.Profile{}
	for i, kind := range kinds {
		taken[kind] = all[i]
	}
	return taken, nil
}

func fetch(ctx context.Context, admin, kind string, seconds int) (*profile.Profile, error) {
	path := kind
	if kind == CPU {
		path = "profile"
	}
	if timed(kind) {
		path = fmt.Sprintf("%s?seconds=%d", path, max(seconds, 1))
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/debug/pprof/"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("take the %s profile of %s: %w", kind, admin, err)
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, fmt.Errorf("take the %s profile of %s (is that the broker's admin.listener?): %w", kind, admin, err)
	}
	data, err := io.ReadAll(a.Body)
	if err := errors.Join(err, a.Body.Close()); err != nil {
		return nil, fmt.Errorf("take the %s profile of %s: %w", kind, admin, err)
	}
	if a.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("take the %s profile of %s: %s: %s", kind, admin, a.Status, bytes.TrimSpace(data))
	}
	p, err := profile.ParseData(data)
	if err != nil {
		return nil, fmt.Errorf("read the %s profile of %s: %w", kind, admin, err)
	}
	return p, nil
}

func readFile(path string) (*profile.Profile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	p, err := profile.ParseData(data)
	if err != nil {
		return nil, fmt.Errorf("read profile %s: %w", path, err)
	}
	return p, nil
}

// readFiles adds profiles up. Those of a ring may be gone.
func readFiles(paths []string, ring bool) (*profile.Profile, error) {
	var all []*profile.Profile
	for _, path := range paths {
		p, err := readFile(path)
		if ring && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	p, err := profile.Merge(all)
	if err != nil {
		return nil, fmt.Errorf("add up %d profiles (are they of one kind?): %w", len(all), err)
	}
	return p, nil
}

// readRing adds up what a broker has kept, or what is younger of it. The broker may drop
// files meanwhile.
func readRing(folder string, since time.Duration, now time.Time) (*profile.Profile, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "cpu-*.pb.gz"))
	if err != nil {
		return nil, fmt.Errorf("look into the ring %s: %w", folder, err)
	}
	slices.Sort(paths)
	all := len(paths)
	if since > 0 {
		first := "cpu-" + now.Add(-since).UTC().Format("20060102T150405.000Z")
		paths = slices.DeleteFunc(paths, func(path string) bool { return strings.Compare(filepath.Base(path), first) < 0 })
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("the ring %s has %d profiles, none of which is wanted; it is the folder \"profiles\" in the first of log.dirs, and profile.interval.ms says how often one is added", folder, all)
	}
	return readFiles(paths, true)
}
