package tune

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/google/pprof/profile"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/cmd/tuning"
	"github.com/millrace/millrace/loadgen"
	"github.com/millrace/millrace/results"
)

// guided are the options of `millrace tune pgo`.
type guided struct {
	workload string
	source   string
	target   string
	out      string
	modes    []string
	profiles []string
	repeats  int
	goal     string
	keep     bool
}

func pgoCommand() *cobra.Command {
	var g guided
	c := &cobra.Command{
		Use:   "pgo",
		Short: "Find out whether a build guided by profiles is better",
		Long: `Builds the program, takes profiles of it under a workload, builds it again with them
(go build -pgo) and measures both in turn, A B A B and so on, in each flush mode. The guided
build is recommended when it is better beyond doubt in one mode and worse in none.

Profiles may come from elsewhere: --profile names files, such as those of a broker's ring
(the folder "profiles" in its data). Needs Go and the source.`,
		Example: "  millrace tune pgo --source . --repeats 9\n  millrace tune pgo --source . --profile 'millrace-data/profiles/*.pb.gz' --keep",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return g.run(ctx, c.OutOrStdout())
		},
	}
	f := c.Flags()
	f.StringVar(&g.workload, "workload", "compare", "what is run: a YAML `file`, or a shipped workload")
	f.StringVar(&g.source, "source", ".", "`folder` of the source")
	f.StringVar(&g.target, "target", "./cmd/millrace", "the package that is the program")
	f.StringVar(&g.out, "out", ".cache/pgo", "`folder` for programs, profiles and runs; what is in it is removed")
	f.StringSliceVar(&g.modes, "flush-mode", []string{"commit", "os"}, "values of log.flush.mode to measure under")
	f.StringArrayVar(&g.profiles, "profile", nil, "profile `files` in place of those taken here; may be repeated, and be a pattern")
	f.IntVar(&g.repeats, "repeats", 9, "how often each program is measured")
	f.StringVar(&g.goal, "goal", tuning.GoalCPU, "what is to get better: "+strings.Join(tuning.Goals, ", "))
	f.BoolVar(&g.keep, "keep", false, "put the profile beside the program's source as default.pgo if it is better, so that every build uses it")
	return c
}

func (g *guided) run(ctx context.Context, out io.Writer) error {
	if !slices.Contains(tuning.Goals, g.goal) {
		return fmt.Errorf("--goal %s: use %s", g.goal, strings.Join(tuning.Goals, ", "))
	}
	if g.repeats < results.MinRepeats {
		return fmt.Errorf("--repeats %d: fewer than %d runs of each side tell nothing apart", g.repeats, results.MinRepeats)
	}
	folder, err := filepath.Abs(g.out)
	if err != nil {
		return fmt.Errorf("find the folder of --out: %w", err)
	}
	l := &lab{workload: g.workload, out: folder, say: func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }}
	if _, err := l.read(side{}); err != nil {
		return err
	}
	named, err := g.named() // now: they may be what was left in the folder by the time before
	if err != nil {
		return err
	}
	for _, name := range []string{"plain", "guided", "runs", "default.pgo"} {
		if err := os.RemoveAll(filepath.Join(folder, name)); err != nil {
			return fmt.Errorf("empty the folder of --out: %w", err)
		}
	}
	if err := os.MkdirAll(l.runs(), 0o755); err != nil {
		return fmt.Errorf("make the folder of --out: %w", err)
	}
	plain, better, merged := filepath.Join(folder, "plain"), filepath.Join(folder, "guided"), filepath.Join(folder, "default.pgo")
	l.say("building without a profile")
	if err := g.build(ctx, plain, "off"); err != nil {
		return err
	}
	if err := g.guide(ctx, l, plain, named, merged); err != nil {
		return err
	}
	l.say("building with the profile")
	if err := g.build(ctx, better, merged); err != nil {
		return err
	}
	verdicts, err := g.measure(ctx, l, out, plain, better)
	if err != nil {
		return err
	}
	return g.conclude(l, verdicts, merged)
}

// build builds the program; pgo is a profile, or off.
func (g *guided) build(ctx context.Context, program, pgo string) error {
	c := exec.CommandContext(ctx, "go", "build", "-pgo="+pgo, "-o", program, g.target)
	c.Dir = g.source
	if text, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s with -pgo=%s: %w\n%s", g.target, pgo, err, bytes.TrimSpace(text))
	}
	return nil
}

// guide writes the profile that the build is guided by: all that were named, or else are taken, added up.
func (g *guided) guide(ctx context.Context, l *lab, program string, all []*profile.Profile, path string) error {
	if len(all) == 0 {
		for _, mode := range g.modes {
			l.say("taking profiles, log.flush.mode=%s", mode)
			files, err := g.take(ctx, l, side{program, inMode(mode)})
			if err != nil {
				return err
			}
			taken, err := readProfiles(files)
			if err != nil {
				return err
			}
			all = append(all, taken...)
		}
	}
	if len(all) == 0 {
		return errors.New("no profile of processor time was taken: there is nothing to be guided by")
	}
	merged, err := profile.Merge(all)
	if err != nil {
		return fmt.Errorf("add up %d profiles: %w", len(all), err)
	}
	var data bytes.Buffer
	if err := merged.Write(&data); err != nil {
		return fmt.Errorf("write the profile: %w", err)
	}
	l.say("%d profiles added up", len(all))
	if err := os.WriteFile(path, data.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the profile: %w", err)
	}
	return nil
}

// named are the profiles that --profile names.
func (g *guided) named() (all []*profile.Profile, err error) {
	for _, pattern := range g.profiles {
		found, err := filepath.Glob(pattern)
		if err == nil && len(found) == 0 {
			err = os.ErrNotExist
		}
		if err != nil {
			return nil, fmt.Errorf("--profile %s: %w", pattern, err)
		}
		read, err := readProfiles(found)
		if err != nil {
			return nil, err
		}
		all = append(all, read...)
	}
	return all, nil
}

func readProfiles(files []string) (all []*profile.Profile, err error) {
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read profile: %w", err)
		}
		p, err := profile.ParseData(data)
		if err != nil {
			return nil, fmt.Errorf("read profile %s: %w", name, err)
		}
		all = append(all, p)
	}
	return all, nil
}

func inMode(mode string) tuning.Configuration {
	return tuning.Configuration{Settings: map[string]string{"log.flush.mode": mode}}
}

// take runs the workload once and answers the files of its profiles.
func (g *guided) take(ctx context.Context, l *lab, s side) (files []string, err error) {
	w, err := l.read(s)
	if err != nil {
		return nil, err
	}
	b, end, err := l.start(ctx, s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	r, err := b.Run(ctx, loadgen.Options{
		Workload: w, Suite: "pgo", System: "plain", Profiling: loadgen.Profiling{Admin: b.Admin, Kinds: []string{loadgen.ProfileCPU}, Dir: l.runs()},
	})
	if err != nil {
		return nil, err
	}
	for _, name := range r.Profiles {
		files = append(files, filepath.Join(l.runs(), name))
	}
	return files, nil
}

// measure runs both programs in turn, in each mode.
func (g *guided) measure(ctx context.Context, l *lab, out io.Writer, plain, better string) (verdicts []tuning.Verdict, err error) {
	for _, mode := range g.modes {
		c, err := l.compare(ctx, g.repeats, side{plain, inMode(mode)}, side{better, inMode(mode)})
		if err != nil {
			return nil, err
		}
		verdict, why := tuning.Judge(c, g.goal)
		verdicts = append(verdicts, verdict)
		l.say("\nlog.flush.mode=%s: A without, B with the profile, %d runs of each\n", mode, g.repeats)
		if err := c.Write(out); err != nil {
			return nil, err
		}
		l.say("%s: %s", verdict, why)
	}
	return verdicts, nil
}

// conclude says whether the profile is to be used, and puts it where builds find it.
func (g *guided) conclude(l *lab, verdicts []tuning.Verdict, merged string) error {
	if !worthwhile(verdicts) {
		l.say("\nThe profile is not kept: the runs do not show that it helps. Programs and runs are in %s.", l.out)
		return nil
	}
	home := filepath.Join(g.source, g.target, "default.pgo")
	if !g.keep {
		l.say("\nThe guided build is better: copy %s to %s, and every build uses it.", merged, home)
		return nil
	}
	data, err := os.ReadFile(merged)
	if err != nil {
		return fmt.Errorf("keep the profile: %w", err)
	}
	if err := os.WriteFile(home, data, 0o644); err != nil {
		return fmt.Errorf("keep the profile: %w", err)
	}
	l.say("\nThe guided build is better: the profile is %s now.", home)
	return nil
}

// worthwhile: better beyond doubt somewhere, worse nowhere.
func worthwhile(verdicts []tuning.Verdict) bool {
	kept := false
	for _, v := range verdicts {
		if v == tuning.Dropped {
			return false
		}
		kept = kept || v == tuning.Kept
	}
	return kept
}
