// Command run plays the fuzz targets of the project in their own processes, without instrumentation, until each has had
// as many executions as are asked for. It can be stopped at any moment, goes on there when it is started again, and
// writes a table of how far all of them came.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/millrace/millrace/engine/fuzz"
)

// runner is what the command line asks for.
type runner struct {
	executions int64
	seed       uint64
	folder     string // absolute: builds, and how far each target came
	corpus     string // has the folder of a package by its import path
	through    []string
	only       *regexp.Regexp
	table      string
	sideBySide int
	tell       sync.Mutex //nolint:forbidigo // players side by side print, write the page and add what failed
}

func main() {
	r := &runner{}
	flag.Int64Var(&r.executions, "n", 10_000_000, "how many executions each target shall have had")
	flag.Uint64Var(&r.seed, "seed", 1, "what all inputs follow from")
	flag.StringVar(&r.folder, "state", ".cache/fuzz-long", "the folder that says how far each target came")
	flag.StringVar(&r.corpus, "corpus", "", "the inputs that Go's engine has found; its own cache when it is not given")
	flag.StringVar(&r.table, "table", "", "the page that is written at the end, and after each target")
	flag.IntVar(&r.sideBySide, "parallel", 1, "how many targets are played at a time")
	through := flag.String("through", "", "a command that targets are run through, such as nice -n 19")
	only := flag.String("targets", "", "a pattern for PACKAGE.TARGET")
	writeOnly := flag.Bool("report", false, "play nothing, write the page")
	flag.Parse()
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	err := r.prepare(*only, *through)
	if err == nil && !*writeOnly {
		err = r.playAll(stop)
	}
	if err == nil || errors.Is(err, errFound) || errors.Is(err, context.Canceled) {
		err = errors.Join(err, r.report())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var errFound = errors.New("there are findings")

func (r *runner) prepare(only, through string) (err error) {
	if r.only, err = regexp.Compile(only); err != nil {
		return err
	}
	r.through = strings.Fields(through)
	if r.corpus == "" {
		cache, err := exec.Command("go", "env", "GOCACHE").Output()
		if err != nil {
			return fmt.Errorf("ask where Go has its cache: %w", err)
		}
		r.corpus = filepath.Join(strings.TrimSpace(string(cache)), "fuzz")
	}
	if r.folder, err = filepath.Abs(r.folder); err != nil {
		return err
	}
	if r.corpus, err = filepath.Abs(r.corpus); err != nil {
		return err
	}
	return os.MkdirAll(r.folder, 0o777)
}

// playAll plays what is not done, some targets side by side: first those that are soonest at their end, by what is
// known of them.
func (r *runner) playAll(ctx context.Context) error {
	all, err := targets(".")
	if err != nil {
		return err
	}
	var left []row
	for _, t := range all {
		p, err := fuzz.ReadProgress(r.state(t))
		if err != nil {
			return err
		}
		if p.Executions < r.executions && r.only.MatchString(t.String()) {
			left = append(left, row{t, p})
		}
	}
	slices.SortStableFunc(left, func(a, b row) int { return cmp.Compare(a.perExecution(), b.perExecution()) })
	built := map[string]string{}
	for _, t := range left {
		if built[t.folder] == "" && ctx.Err() == nil {
			if built[t.folder], err = r.build(ctx, t.folder); err != nil {
				return err
			}
			defer os.Remove(built[t.folder]) //nolint:errcheck // it is built anew each time
		}
	}
	queue := make(chan target)
	var players sync.WaitGroup
	var failed error
	for range r.sideBySide {
		players.Go(func() {
			for t := range queue {
				err := r.play(ctx, t, built[t.folder])
				r.tell.Lock()
				failed = errors.Join(failed, err)
				r.tell.Unlock()
			}
		})
	}
	for _, t := range left {
		if ctx.Err() == nil {
			queue <- t.target
		}
	}
	close(queue)
	players.Wait()
	return errors.Join(failed, ctx.Err())
}

// build builds the test of a package.
func (r *runner) build(ctx context.Context, folder string) (program string, err error) {
	program = filepath.Join(r.folder, strings.ReplaceAll(folder, "/", "_")+".test")
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", program, "./"+folder).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", folder, err, out)
	}
	return program, nil
}

// target is a fuzz target of a package, the folder from the root of the module.
type target struct{ folder, name string }

func (t target) String() string { return t.folder + "." + t.name }

var declared = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)

// targets finds all of a module, in the order of their folders.
func targets(root string) (all []target, err error) {
	err = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, nested := os.Stat(filepath.Join(path, "go.mod"))
			if path != root && (nested == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		for _, found := range declared.FindAllSubmatch(text, -1) {
			all = append(all, target{filepath.ToSlash(folder), string(found[1])})
		}
		return err
	})
	return all, err
}

func (r *runner) state(t target) string {
	return filepath.Join(r.folder, strings.ReplaceAll(t.String(), "/", "_")+".json")
}

// play runs a target. What kills the process, or is one of several, is found by running it once more, with each input
// written to a file first.
func (r *runner) play(ctx context.Context, t target, program string) error {
	err := r.run(ctx, t, program, "")
	p, readErr := fuzz.ReadProgress(r.state(t))
	if readErr != nil {
		return readErr
	}
	if err == nil || ctx.Err() != nil {
		r.say("%s: %d executions, %.0f a second, %d findings", t, p.Executions, float64(p.Executions)/max(p.Seconds, 1e-3), len(p.Findings))
		return r.report()
	}
	told := err.Error()
	if strings.Contains(told, fuzz.OneByOne) || !strings.Contains(told, "Failing input written to") && !strings.Contains(told, "--- FAIL") {
		input := filepath.Join(r.folder, "input-"+t.name)
		err = errors.Join(err, r.run(ctx, t, program, input))
		err = fmt.Errorf("%w\nif it was killed, it was by %s", err, input)
	}
	r.say("%s: %v", t, err)
	return fmt.Errorf("%w: %s", errFound, t)
}

// run runs the built test of a target until it has had its executions.
func (r *runner) run(ctx context.Context, t target, program, careful string) error {
	words := append(slices.Clone(r.through), program, "-test.run", "^"+t.name+"$", "-test.timeout", "0")
	c := exec.CommandContext(ctx, words[0], words[1:]...)
	c.Dir = t.folder
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that what it is run through is not all that is stopped
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGINT) }
	c.Env = append(os.Environ(), fmt.Sprintf("%s=%d", fuzz.Executions, r.executions), fmt.Sprintf("%s=%d", fuzz.Seed, r.seed),
		fuzz.Corpus+"="+filepath.Join(r.corpus, "github.com/millrace/millrace", t.folder), fuzz.Report+"="+r.state(t), fuzz.Careful+"="+careful, "GOGC=400")
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, tail(string(out)))
	}
	return nil
}

// tail is as much of an output as a person reads.
func tail(out string) string {
	if len(out) > 6000 {
		return out[:3000] + "\n…\n" + out[len(out)-3000:]
	}
	return out
}

func (r *runner) say(format string, words ...any) {
	r.tell.Lock()
	defer r.tell.Unlock()
	fmt.Printf(format+"\n", words...)
}
