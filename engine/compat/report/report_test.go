package report

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestCheckReports(t *testing.T) {
	for name, test := range map[string]struct {
		check func(ctx context.Context) error
		want  Line
	}{
		"a pass":   {func(context.Context) error { return nil }, Line{Result: "pass"}},
		"an error": {func(context.Context) error { return errors.New("torn") }, Line{Result: "fail", Detail: "torn"}},
		"a panic":  {func(context.Context) error { panic("lost") }, Line{Result: "fail", Detail: "panic: lost"}},
		"a time-out": {
			func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
			Line{Result: "fail", Detail: "context deadline exceeded"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			s := Suite{Only: regexp.MustCompile(""), Timeout: 50 * time.Millisecond, Out: &out}
			s.Check("x", test.check)
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if len(lines) != 2 {
				t.Fatalf("printed %q, want a start and an end", lines)
			}
			got, ok := Parse(lines[1])
			got.Seconds = 0
			test.want.Check = "x"
			if !ok || got != test.want {
				t.Errorf("reported %+v (%v), want %+v", got, ok, test.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"", "some log line", `{"level":"info"}`, `{"check":"x","result":"maybe"}`, `{"check":`} {
		if l, ok := Parse(text); ok {
			t.Errorf("took %q for %+v", text, l)
		}
	}
}
