package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/compat/drops"
	"github.com/millrace/millrace/engine/compat/franz"
	"github.com/millrace/millrace/engine/compat/report"
)

// clientLimit is how long one client may take for all its checks on one target.
const clientLimit = 6 * time.Minute

// leastCuts is how many connections must have been cut before "drops" says anything.
const leastCuts = 5

// A driver runs the chosen clients on the targets. The outcomes belong to mu; everything else is set before the
// clients start.
type driver struct {
	options
	root, work string
	binary     string // Millrace
	begin      time.Time
	chosen     []chosen

	mu       sync.Mutex //nolint:forbidigo // clients that run side by side report here
	outcomes []outcome
}

// A chosen client has the checks that were asked for, and how to run it.
type chosen struct {
	client
	command, environment []string
	broken               error // it could not be installed
}

// An outcome is one cell of the table.
type outcome struct {
	Target  string  `json:"target"`
	Client  string  `json:"client"`
	Check   string  `json:"check"`
	Result  string  `json:"result"`
	Seconds float64 `json:"seconds"`
	Detail  string  `json:"detail,omitempty"`
}

func (d *driver) selectClients() error {
	name, err := regexp.Compile(d.client)
	if err != nil {
		return fmt.Errorf("-client: %w", err)
	}
	check, err := regexp.Compile("^(" + d.check + ")$")
	if err != nil {
		return fmt.Errorf("-check: %w", err)
	}
	for _, c := range clients {
		if !name.MatchString(c.name) || c.mortal && d.address != "" {
			continue
		}
		var checks []string
		for _, asked := range c.checks {
			if (d.check == "" || check.MatchString(asked)) && (d.address == "" || asked != "drops") {
				checks = append(checks, asked)
			}
		}
		if c.checks = checks; len(checks) > 0 {
			d.chosen = append(d.chosen, chosen{client: c})
		}
	}
	if len(d.chosen) == 0 {
		return errors.New("no client and check of that name")
	}
	return nil
}

// install prepares every chosen client. What fails is remembered: its checks fail with that reason, and the others run.
func (d *driver) install(ctx context.Context) {
	for i := range d.chosen {
		c := &d.chosen[i]
		begin := time.Now()
		c.command, c.environment, c.broken = c.prepare(ctx, d)
		if c.broken != nil {
			fmt.Printf("CANNOT INSTALL %s: %v\n", c.name, c.broken)
		} else if took := time.Since(begin); took > time.Second {
			fmt.Printf("installed what %s needs in %.0f s\n", c.name, took.Seconds())
		}
	}
}

// takeUp counts what passed in the run before that -resume names.
func (d *driver) takeUp() error {
	if d.resume == "" {
		return nil
	}
	text, err := os.ReadFile(d.resume)
	if err != nil {
		return fmt.Errorf("-resume: %w", err)
	}
	var before []outcome
	if err := json.Unmarshal(text, &before); err != nil {
		return fmt.Errorf("-resume: %s: %w", d.resume, err)
	}
	for _, o := range before {
		if o.Result == "pass" {
			d.outcomes = append(d.outcomes, o)
		}
	}
	return nil
}

// left are the clients that have checks to run on a target, with these.
func (d *driver) left(t broker.Target) (clients []chosen) {
	_, ours := t.(*broker.Millrace)
	for _, c := range d.chosen {
		c.checks = slices.DeleteFunc(slices.Clone(c.checks), func(check string) bool {
			return result(d.outcomes, t.Name(), c.name, check) != ""
		})
		if len(c.checks) > 0 && (ours || !c.ours) {
			clients = append(clients, c)
		}
	}
	return clients
}

// runOn starts one target and runs every client on it.
func (d *driver) runOn(ctx context.Context, t broker.Target) (err error) {
	clients := d.left(t)
	if len(clients) == 0 {
		return nil
	}
	proxies := map[string]*drops.Proxy{}
	behind := map[string]string{}
	defer func() {
		for _, p := range proxies {
			p.Close()
		}
	}()
	for i, c := range clients {
		if !slices.Contains(c.checks, "drops") {
			continue
		}
		p, err := drops.Listen(drops.Options{Seed: uint64(i + 1)})
		if err != nil {
			return err
		}
		proxies[c.name], behind[c.name] = p, p.Addr()
	}
	if !slices.ContainsFunc(clients, func(c chosen) bool { return !c.mortal }) { // each starts brokers of its own
		d.runClients(ctx, t, clients, "compat", "", nil)
		return ctx.Err()
	}
	begin := time.Now()
	address, through, err := t.Start(ctx, behind)
	if err != nil {
		return fmt.Errorf("start %s: %w", t.Name(), err)
	}
	defer func() {
		if stop := t.Stop(); stop != nil {
			err = errors.Join(err, fmt.Errorf("stop %s: %w", t.Name(), stop))
		}
	}()
	fmt.Printf("%s answers at %s after %.2f s\n", t.Name(), address, time.Since(begin).Seconds())
	for name, p := range proxies {
		p.Forward(through[name])
	}
	run := fmt.Sprintf("compat-%x", time.Now().UnixMilli())
	prepare, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := franz.Prepare(prepare, address, run+"-foreign"); err != nil {
		return fmt.Errorf("on %s: %w", t.Name(), err)
	}
	d.runClients(ctx, t, clients, run, address, proxies)
	return ctx.Err()
}

func (d *driver) runClients(ctx context.Context, t broker.Target, clients []chosen, run, address string, proxies map[string]*drops.Proxy) {
	var all sync.WaitGroup
	free := make(chan struct{}, max(d.parallel, 1))
	for _, c := range clients {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			session := &session{driver: d, chosen: c, target: t.Name(), open: map[string]bool{}, proxy: proxies[c.name]}
			for _, check := range c.checks {
				session.open[check] = true
			}
			keep := ""
			if d.keep {
				keep = "yes"
			}
			session.run(ctx, []string{
				"COMPAT_KEEP=" + keep, "COMPAT_BOOTSTRAP=" + address, "COMPAT_PREFIX=" + run + "-" + c.name, "COMPAT_FOREIGN=" + run + "-foreign",
				"COMPAT_ONLY=" + strings.Join(c.checks, "|"), "COMPAT_TARGET=" + kind(t),
			})
		})
	}
	all.Wait()
}

// kind is how a client that starts brokers itself is told which.
func kind(t broker.Target) string {
	switch t.(type) {
	case *broker.Millrace:
		return "millrace"
	case *broker.Kafka:
		return "kafka"
	}
	return ""
}

// A session is one client's run on one target. It belongs to one goroutine.
type session struct {
	*driver
	chosen
	target string
	open   map[string]bool // checks that have not reported yet
	proxy  *drops.Proxy
}

// run runs the client's process. What it did not report at its end has failed.
func (s *session) run(ctx context.Context, environment []string) {
	reason := s.broken
	if reason == nil {
		reason = s.process(ctx, environment)
	}
	for _, check := range s.checks {
		if s.open[check] {
			s.add(report.Line{Check: check, Result: "fail", Detail: fmt.Sprintf("not reported: %v", reason)})
		}
	}
}

func (s *session) process(ctx context.Context, environment []string) error {
	ctx, cancel := context.WithTimeout(ctx, clientLimit)
	defer cancel()
	command := exec.CommandContext(ctx, s.command[0], s.command[1:]...)
	command.Env = append(append(os.Environ(), s.environment...), environment...)
	if s.proxy != nil {
		command.Env = append(command.Env, "COMPAT_DROPS="+s.proxy.Addr())
	}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = 2 * time.Second
	var said lastWords
	command.Stderr = &said
	out, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	s.listen(out, &said)
	err = command.Wait()
	if ctx.Err() != nil {
		err = fmt.Errorf("no end within %v", clientLimit)
	}
	return errors.Join(err, errors.New(said.String()))
}

// listen reads the client's reports to their end.
func (s *session) listen(out io.Reader, said *lastWords) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		l, ok := report.Parse(lines.Text())
		switch {
		case !ok:
			fmt.Fprintln(said, lines.Text())
		case l.Result == "start":
		case !s.open[l.Check]:
			s.add(report.Line{Check: l.Check, Result: "fail", Detail: "reported, but not asked for or twice"})
		default:
			s.open[l.Check] = false
			if l.Check == "drops" && l.Result == "pass" && s.proxy.Cuts() < leastCuts {
				l.Result, l.Detail = "fail", fmt.Sprintf("only %d connections were cut, which shows nothing", s.proxy.Cuts())
			}
			s.add(l)
		}
	}
}

// add keeps an outcome and shows it as the progress.
func (s *session) add(l report.Line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes = append(s.outcomes, outcome{s.target, s.name, l.Check, l.Result, l.Seconds, l.Detail})
	mark, detail := "ok  ", ""
	if l.Result == "fail" {
		mark, detail = "FAIL", "  "+l.Detail
	} else if l.Check == "drops" {
		detail = fmt.Sprintf("  (%d connections cut)", s.proxy.Cuts())
	}
	fmt.Printf("%5.0f s  %s  %-12s %-14s %-16s %6.2f s%s\n", time.Since(s.begin).Seconds(), mark, short(s.target), s.name, l.Check, l.Seconds, detail)
}

func short(target string) string {
	return strings.TrimPrefix(target, "Apache ")
}

// lastWords keeps the end of what a process said, for the reason of a failure.
type lastWords struct {
	mu   sync.Mutex //nolint:forbidigo // written by the goroutine that copies standard error, too
	text []byte
}

func (w *lastWords) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, p...)
	w.text = w.text[max(0, len(w.text)-3000):]
	return len(p), nil
}

func (w *lastWords) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.TrimSpace(string(w.text))
}
