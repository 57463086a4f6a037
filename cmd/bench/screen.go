package bench

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/millrace/millrace/loadgen"
	"github.com/millrace/millrace/results"
)

// screen shows a run while it lasts: on a terminal one line per phase that changes every
// second, elsewhere one line a second.
type screen struct {
	out      io.Writer
	terminal bool
	width    int
	phase    string
	shown    bool      // an unfinished line is on the terminal
	history  []float64 // of the phase: what its sparkline shows
}

func newScreen(out io.Writer) *screen {
	s := &screen{out: out, width: 120}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		s.terminal = true
		if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 20 {
			s.width = width
		}
	}
	return s
}

// say prints a line of its own.
func (s *screen) say(format string, args ...any) {
	s.done()
	fmt.Fprintf(s.out, format+"\n", args...)
}

// done ends the line of the running phase.
func (s *screen) done() {
	if s.shown {
		fmt.Fprintln(s.out)
	}
	s.shown = false
}

// taking shows how far the free memory of the machine is taken; see loadgen.Memory.
func (s *screen) taking(held, free int64) {
	s.say("taking free memory, so that no run gets any from the host: %.1f of %.1f GB", float64(held)/1e9, float64(held+free)/1e9)
}

// sparks is how many seconds a sparkline shows.
const sparks = 20

// seldom is after how many seconds now shows something where lines cannot be changed.
const seldom = 10

// now shows one second of a phase as long as there is a terminal, else one in a while.
func (s *screen) now(p loadgen.Progress) {
	if s.terminal || int(p.Point.T)%seldom == 0 {
		s.progress(p)
	}
}

// progress shows one second of a phase.
func (s *screen) progress(p loadgen.Progress) {
	if p.Phase.Name != s.phase {
		s.done()
		s.phase, s.history = p.Phase.Name, nil
	}
	shown := p.Point.P99
	if p.Phase.Rate == 0 || p.Phase.Do == results.Consume {
		shown = p.Point.Rate
	}
	s.history = append(s.history, shown)
	line := secondLine(p, sparkline(s.history[max(0, len(s.history)-sparks):]))
	if !s.terminal {
		fmt.Fprintln(s.out, line)
		return
	}
	if utf8.RuneCountInString(line) >= s.width {
		line = string([]rune(line)[:s.width-1])
	}
	fmt.Fprintf(s.out, "\r\033[K%s", line)
	s.shown = true
}

func secondLine(p loadgen.Progress, spark string) string {
	clock := fmt.Sprintf("%.0f/%.0f s", p.Point.T, p.Of.Seconds())
	if p.Point.Warmup {
		clock = "warm-up"
	}
	return fmt.Sprintf("%-26s %8s %9s rec/s %8s MB/s  p50 %-8s p99 %-8s max %-8s %s",
		p.Phase.Name, clock, results.Figure(p.Point.Rate), results.Figure(p.Point.Megabytes),
		results.Micros(p.Point.P50), results.Micros(p.Point.P99), results.Micros(p.Point.Max), spark)
}

// sparkline draws values as bars, from zero to the largest.
func sparkline(values []float64) string {
	bars := []rune("▁▂▃▄▅▆▇█")
	top := 0.0
	for _, v := range values {
		top = max(top, v)
	}
	var out strings.Builder
	for _, v := range values {
		level := 0
		if top > 0 {
			level = int(v / top * float64(len(bars)-1))
		}
		out.WriteRune(bars[level])
	}
	return out.String()
}
