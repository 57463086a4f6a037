package loadgen

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"
	"golang.org/x/sync/errgroup"
)

// Kinds of profiles that a broker's admin address serves.
const (
	ProfileCPU   = "cpu"
	ProfileHeap  = "heap"
	ProfileMutex = "mutex"
	ProfileBlock = "block"
)

// Profiling says which profiles of the broker are taken in the measured part of every
// phase. The zero value takes none.
type Profiling struct {
	Admin string   // host:port with /debug/pprof
	Kinds []string // ProfileCPU, …
	Dir   string   // where they go
}

// profiler takes the profiles of one phase.
type profiler struct {
	Profiling
	base    string
	seconds int
	files   []string
	notes   []string
}

// newProfiler names the files of a phase: <result>-<phase>-<kind>.pb.gz.
func (p Profiling) newProfiler(id string, phase *Phase) *profiler {
	return &profiler{
		Profiling: p, base: id + "-" + strings.ReplaceAll(phase.Name, " ", "-"),
		seconds: max(1, int(phase.Duration/time.Second)),
	}
}

// take fetches every kind once: those of a stretch of time all over the measured part, which
// begins now, the others when that is over.
func (p *profiler) take(ctx context.Context) error {
	kinds := slices.Clone(p.Kinds)
	slices.SortStableFunc(kinds, func(a, b string) int {
		return cmp.Compare(slices.Index(profileOrder, a), slices.Index(profileOrder, b))
	})
	taken := make([][]byte, len(kinds))
	stretch, within := errgroup.WithContext(ctx)
	for i, kind := range kinds {
		if kind != ProfileHeap {
			stretch.Go(func() (err error) {
				taken[i], err = p.fetch(within, kind)
				return err
			})
		}
	}
	if err := stretch.Wait(); err != nil {
		return err
	}
	for i, kind := range kinds {
		if taken[i] == nil {
			var err error
			if taken[i], err = p.fetch(ctx, kind); err != nil {
				return err
			}
		}
		if err := p.save(kind, taken[i]); err != nil {
			return err
		}
	}
	return nil
}

// profileOrder is that of the files and notes.
var profileOrder = []string{ProfileCPU, ProfileMutex, ProfileBlock, ProfileHeap}

// save writes the file of one kind, and what is in it into the notes.
func (p *profiler) save(kind string, data []byte) error {
	name := p.base + "-" + kind + ".pb.gz"
	if err := os.MkdirAll(p.Dir, 0o755); err != nil {
		return fmt.Errorf("keep a profile: %w", err)
	}
	if err := os.WriteFile(filepath.Join(p.Dir, name), data, 0o644); err != nil {
		return fmt.Errorf("keep a profile: %w", err)
	}
	hot, err := hottest(data, 5)
	if err != nil {
		return fmt.Errorf("read the %s profile: %w", kind, err)
	}
	p.files = append(p.files, name)
	p.notes = append(p.notes, kind+" profile: "+hot)
	return nil
}

func (p *profiler) fetch(ctx context.Context, kind string) (data []byte, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("take the %s profile of the broker: %w", kind, err)
		}
	}()
	path := "heap"
	switch kind {
	case ProfileCPU:
		path = fmt.Sprintf("profile?seconds=%d", p.seconds)
	case ProfileMutex, ProfileBlock:
		path = fmt.Sprintf("%s?seconds=%d", kind, p.seconds) // a Millrace looks at them only meanwhile
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Admin+"/debug/pprof/"+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	data, err = io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", answer.Status, bytes.TrimSpace(data))
	}
	return data, nil
}

// hottest names the functions that have most of a profile to themselves, by its last
// sample type.
func hottest(data []byte, most int) (string, error) {
	p, err := profile.ParseData(data)
	if err != nil {
		return "", err
	}
	if len(p.SampleType) == 0 {
		return "empty", nil
	}
	total, flat := int64(0), map[string]int64{}
	for _, s := range p.Sample {
		value := s.Value[len(s.Value)-1]
		total += value
		if len(s.Location) > 0 && len(s.Location[0].Line) > 0 && s.Location[0].Line[0].Function != nil {
			flat[s.Location[0].Line[0].Function.Name] += value
		}
	}
	if total == 0 {
		return "empty", nil
	}
	var names []string
	for name := range flat {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if flat[a] != flat[b] {
			return int(min(max(flat[b]-flat[a], -1), 1))
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for _, name := range names[:min(most, len(names))] {
		parts = append(parts, fmt.Sprintf("%s %.0f %%", name[strings.LastIndexByte(name, '/')+1:], 100*float64(flat[name])/float64(total)))
	}
	return strings.Join(parts, ", "), nil
}

// check refuses profiles that no broker serves.
func (p Profiling) check() error {
	if len(p.Kinds) == 0 {
		return nil
	}
	for _, kind := range p.Kinds {
		if !slices.Contains([]string{ProfileCPU, ProfileHeap, ProfileMutex, ProfileBlock}, kind) {
			return fmt.Errorf("unknown profile %q: use cpu, heap, mutex or block", kind)
		}
	}
	if p.Admin == "" {
		return errors.New("profiles need the broker's admin address")
	}
	return nil
}
