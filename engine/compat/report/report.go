// Package report is how a client program tells the driver what it found: one JSON line on standard output when a
// check begins and one when it ended. The programs in Java, Python and JavaScript print the same lines, so the
// driver knows one language for all of them.
//
//	{"check":"gzip","result":"start"}
//	{"check":"gzip","result":"pass","seconds":0.41}
//	{"check":"time","result":"fail","seconds":60,"detail":"offset 12, want 10"}
package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"
)

// A Line is what a client program prints.
type Line struct {
	Check   string  `json:"check"`
	Result  string  `json:"result"` // start, pass or fail
	Seconds float64 `json:"seconds,omitempty"`
	Detail  string  `json:"detail,omitempty"`
}

// A Suite is what the driver told this client program, and where its checks report.
type Suite struct {
	Bootstrap string         // the broker
	Drops     string         // a broker behind a proxy that cuts connections
	Prefix    string         // begins the names of the topics and groups of this run
	Foreign   string         // a topic that another client wrote
	Only      *regexp.Regexp // checks to run
	Timeout   time.Duration  // for one check
	Out       io.Writer
}

// FromEnvironment reads what the driver set: COMPAT_BOOTSTRAP, COMPAT_DROPS, COMPAT_PREFIX, COMPAT_FOREIGN, COMPAT_ONLY.
func FromEnvironment() (*Suite, error) {
	only, err := regexp.Compile("^(" + os.Getenv("COMPAT_ONLY") + ")$")
	if err != nil {
		return nil, fmt.Errorf("COMPAT_ONLY: %w", err)
	}
	if os.Getenv("COMPAT_ONLY") == "" {
		only = regexp.MustCompile("")
	}
	return &Suite{
		Bootstrap: os.Getenv("COMPAT_BOOTSTRAP"), Drops: os.Getenv("COMPAT_DROPS"),
		Prefix: os.Getenv("COMPAT_PREFIX"), Foreign: os.Getenv("COMPAT_FOREIGN"),
		Only: only, Timeout: time.Minute, Out: os.Stdout,
	}, nil
}

// Name is a topic or group of this run.
func (s *Suite) Name(what string) string { return s.Prefix + "-" + what }

// Check runs f when the check was asked for, and reports its end, a panic and a time-out included. A check that
// does not heed its context is left behind.
func (s *Suite) Check(check string, f func(ctx context.Context) error) {
	if !s.Only.MatchString(check) {
		return
	}
	s.print(Line{Check: check, Result: "start"})
	begin := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), s.Timeout)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- guard(ctx, f) }()
	grace := time.NewTimer(s.Timeout + 5*time.Second)
	defer grace.Stop()
	var err error
	select {
	case err = <-ended:
	case <-grace.C:
		err = fmt.Errorf("no end within %v", s.Timeout)
	}
	l := Line{Check: check, Result: "pass", Seconds: time.Since(begin).Seconds()}
	if err != nil {
		l.Result, l.Detail = "fail", err.Error()
	}
	s.print(l)
}

// Eventually asks until the answer is right, or for ten seconds, and answers what was last wrong. A cluster tells its
// brokers of a change after it acknowledged it, so a question that follows at once may get the old answer.
func Eventually(ctx context.Context, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		err := ask()
		if err == nil || ctx.Err() != nil {
			return err
		}
		pause := time.NewTimer(50 * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		pause.Stop()
	}
}

// guard makes an error of a panic, so that one check does not end the others.
func guard(ctx context.Context, f func(ctx context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	err = f(ctx)
	if err != nil && ctx.Err() != nil && !errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w (time-out)", err)
	}
	return err
}

func (s *Suite) print(l Line) {
	text, err := json.Marshal(l)
	if err != nil {
		panic(fmt.Sprintf("report line %+v: %v", l, err))
	}
	fmt.Fprintln(s.Out, string(text))
}

// Parse reads one line of a client program. It reports whether the text is such a line.
func Parse(text string) (Line, bool) {
	var l Line
	if !strings.HasPrefix(text, "{") || json.Unmarshal([]byte(text), &l) != nil || l.Check == "" {
		return Line{}, false
	}
	switch l.Result {
	case "start", "pass", "fail":
		return l, true
	}
	return Line{}, false
}
