package pprof

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/cmd/tuning"
)

// options are those of `millrace pprof`.
type options struct {
	kinds   []string
	seconds int
	http    string
	by      string
	diff    string
	ring    string
	since   time.Duration
	files   []string
	top     int
	out     string
}

// Command is `millrace pprof`.
func Command() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "pprof [ADMIN-ADDRESS]",
		Short: "Show what a running broker spends its time and memory on",
		Long: `Takes profiles of a running broker at its admin.listener (127.0.0.1:9644 unless given) and
shows them in google/pprof's web pages: flame graph, graph, top, source. Processor time
carries labels of the API, the topic and the plugin that it was spent for; --by splits by
one of them. Mutexes and waits are looked at only while their profile is taken.

With --ring the profiles come from the folder "profiles" that a broker keeps in the first
of its log.dirs (profile.interval.ms), with --file from files; no broker is asked then.`,
		Example: `  millrace pprof
  millrace pprof 10.0.0.5:9644 --profile cpu --seconds 30 --by topic
  millrace pprof --profile cpu --out before.pb.gz
  millrace pprof --profile cpu --diff before.pb.gz
  millrace pprof --ring millrace-data/profiles --since 1h --top=20 --by api`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			address := "127.0.0.1:9644"
			if len(args) == 1 {
				address = args[0]
			}
			if err := o.check(len(args) == 1); err != nil {
				return err
			}
			return o.run(c, address)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&o.kinds, "profile", nil, "which: "+strings.Join(Kinds, ", ")+" (all, but cpu alone with --top, --out and --diff)")
	f.IntVar(&o.seconds, "seconds", 5, "for how long processor time, mutexes and waits are looked at")
	f.StringVar(&o.http, "http", "127.0.0.1:0", "where the web pages are served")
	f.StringVar(&o.by, "by", "", "split by a label: api, topic or plugin")
	f.StringVar(&o.diff, "diff", "", "show what is more, and what is less, than in this profile `file`")
	f.StringVar(&o.ring, "ring", "", "the `folder` in which a broker keeps its profiles")
	f.DurationVar(&o.since, "since", 0, "of a ring only what is younger, as 1h")
	f.StringArrayVar(&o.files, "file", nil, "profile `file` in place of a broker; several are added up")
	f.IntVar(&o.top, "top", 0, "print a table of so many functions and end (--top=40; --top alone: 25)")
	f.Lookup("top").NoOptDefVal = "25"
	f.StringVar(&o.out, "out", "", "write the profile to this `file` and end")
	return c
}

// check refuses options that do not go together, and fills in what follows from them.
func (o *options) check(addressed bool) error {
	sources := 0
	for _, given := range []bool{addressed, o.ring != "", len(o.files) > 0} {
		if given {
			sources++
		}
	}
	if sources > 1 {
		return errors.New("an address, --ring and --file are three sources: name one")
	}
	if o.by != "" && !slices.Contains([]string{tuning.ByAPI, tuning.ByTopic, tuning.ByPlugin}, o.by) {
		return fmt.Errorf("--by %s: use api, topic or plugin", o.by)
	}
	if o.since != 0 && o.ring == "" {
		return errors.New("--since goes with --ring")
	}
	if o.since < 0 || o.top < 0 || o.seconds < 1 {
		return errors.New("--seconds is 1 at least, and --top and --since are not negative")
	}
	for _, kind := range o.kinds {
		if !slices.Contains(Kinds, kind) {
			return fmt.Errorf("--profile %s: use %s", kind, strings.Join(Kinds, ", "))
		}
	}
	single := o.top > 0 || o.out != "" || o.diff != "" || o.ring != "" || len(o.files) > 0
	switch {
	case len(o.kinds) == 0 && single:
		o.kinds = []string{CPU}
	case len(o.kinds) == 0:
		o.kinds = Kinds
	case len(o.kinds) > 1 && single:
		return errors.New("--top, --out, --diff, --ring and --file are for one profile: name it with --profile")
	}
	if o.ring != "" && o.kinds[0] != CPU {
		return errors.New("a ring has profiles of processor time only")
	}
	return nil
}

func (o *options) run(c *cobra.Command, address string) error {
	taken, err := o.take(c, address)
	if err != nil {
		return err
	}
	var base *profile.Profile
	if o.diff != "" {
		if base, err = readFile(o.diff); err != nil {
			return err
		}
	}
	switch {
	case o.out != "":
		return write(c, o.out, taken[o.kinds[0]])
	case o.top > 0:
		return o.table(c.OutOrStdout(), taken[o.kinds[0]], base)
	}
	return o.serve(c, taken, base)
}

// take gets the profiles, by kind.
func (o *options) take(c *cobra.Command, address string) (map[string]*profile.Profile, error) {
	switch {
	case o.ring != "":
		p, err := readRing(o.ring, o.since, time.Now())
		return map[string]*profile.Profile{CPU: p}, err
	case len(o.files) > 0:
		p, err := readFiles(o.files, false)
		return map[string]*profile.Profile{o.kinds[0]: p}, err
	}
	if slices.ContainsFunc(o.kinds, timed) {
		fmt.Fprintf(c.ErrOrStderr(), "taking %s of %s, %d s\n", strings.Join(o.kinds, ", "), address, o.seconds)
	}
	ctx, cancel := context.WithTimeout(c.Context(), time.Duration(o.seconds)*time.Second+patience)
	defer cancel()
	return Fetch(ctx, address, o.seconds, o.kinds...)
}

func write(c *cobra.Command, path string, p *profile.Profile) error {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write profile: %w", err)
	}
	if err := errors.Join(p.Write(file), file.Close()); err != nil {
		return fmt.Errorf("write profile: %w", err)
	}
	fmt.Fprintln(c.OutOrStdout(), path)
	return nil
}
