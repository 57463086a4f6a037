package security

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/millrace/millrace/sdk"
)

// plugin is an authenticator whose exchanges are one function.
type plugin func(ctx context.Context, message []byte) ([]byte, *sdk.Identity, error)

func (plugin) Mechanism() string             { return "TEST" }
func (p plugin) Begin(sdk.Peer) sdk.Exchange { return p }
func (p plugin) Step(ctx context.Context, message []byte) ([]byte, *sdk.Identity, error) {
	return p(ctx, message)
}

// asked has a plugin see one message.
func asked(t *testing.T, p plugin, limit time.Duration) Answer {
	t.Helper()
	w := NewWorker(p)
	defer closed(t, w)
	e := w.Begin(sdk.Peer{}, limit)
	defer e.End()
	answers := make(chan Answer, 1)
	if !e.Step([]byte("x"), func(a Answer) { answers <- a }) {
		t.Fatal("nobody works")
	}
	return <-answers
}

func closed(t *testing.T, w *Worker) {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// Whatever a plugin does is an answer, and no proof unless it says so in time.
func TestPluginsThatMisbehave(t *testing.T) {
	for name, p := range map[string]plugin{
		"panics": func(context.Context, []byte) ([]byte, *sdk.Identity, error) { panic("oh") },
		"fails": func(context.Context, []byte) ([]byte, *sdk.Identity, error) {
			return []byte("x"), alice, errors.New("no")
		},
		"knows nobody": func(context.Context, []byte) ([]byte, *sdk.Identity, error) { return nil, &sdk.Identity{}, nil },
		"takes for ever": func(ctx context.Context, _ []byte) ([]byte, *sdk.Identity, error) {
			<-ctx.Done()
			return nil, alice, nil
		},
		"reads what isn't": func(_ context.Context, m []byte) ([]byte, *sdk.Identity, error) { return m[5:], alice, nil },
	} {
		if a := asked(t, p, 50*time.Millisecond); a.Err == nil || a.Who != nil || a.Token != nil {
			t.Errorf("a plugin that %s: %+v", name, a)
		}
	}
	a := asked(t, func(context.Context, []byte) ([]byte, *sdk.Identity, error) { return []byte("y"), alice, nil }, time.Minute)
	if a.Err != nil || a.Who != alice || string(a.Token) != "y" {
		t.Errorf("a plugin that works: %+v", a)
	}
}

type panicking struct{ plugin }

func (panicking) Begin(sdk.Peer) sdk.Exchange { panic("oh") }

func TestAPluginThatCannotBegin(t *testing.T) {
	w := NewWorker(panicking{})
	defer closed(t, w)
	if w.Begin(sdk.Peer{}, time.Minute) != nil {
		t.Fatal("it began")
	}
}

// A plugin that hangs fills its own queue, and then turns away.
func TestAFloodIsTurnedAway(t *testing.T) {
	release := make(chan struct{})
	w := NewWorker(plugin(func(context.Context, []byte) ([]byte, *sdk.Identity, error) {
		<-release
		return nil, nil, errors.New("late")
	}))
	e := w.Begin(sdk.Peer{}, time.Minute)
	defer e.End()
	taken := 0
	answers := make(chan Answer, 2*waiting)
	for e.Step(nil, func(a Answer) { answers <- a }) {
		if taken++; taken > waiting+workers {
			t.Fatal("it is never too much")
		}
	}
	if taken < waiting {
		t.Fatalf("only %d wait", taken)
	}
	close(release)
	closed(t, w)
	for range taken { // each is answered, also those that waited at the end
		<-answers
	}
}

// Want of time says nothing about the client; a denial does, however late.
func TestWhatNobodyDecided(t *testing.T) {
	for err, undecided := range map[error]bool{errors.New("it took too long"): true, sdk.Deny("no"): false} {
		began := make(chan struct{})
		w := NewWorker(plugin(func(ctx context.Context, _ []byte) ([]byte, *sdk.Identity, error) {
			close(began)
			<-ctx.Done()
			return nil, nil, err
		}))
		e := w.Begin(sdk.Peer{}, time.Hour)
		answers := make(chan Answer, 1)
		e.Step(nil, func(a Answer) { answers <- a })
		<-began
		e.End()
		if a := <-answers; a.Err == nil || Undecided(a.Err) != undecided {
			t.Errorf("%v: %v", err, a.Err)
		}
		closed(t, w)
	}
	if Undecided(errors.New("no")) || !Undecided(context.DeadlineExceeded) {
		t.Error("a refusal is for want of time, or a deadline is not")
	}
}

// The end of a worker ends what is under way.
func TestTheEndIsHeeded(t *testing.T) {
	began := make(chan struct{})
	w := NewWorker(plugin(func(ctx context.Context, _ []byte) ([]byte, *sdk.Identity, error) {
		close(began)
		<-ctx.Done()
		return nil, nil, ctx.Err()
	}))
	e := w.Begin(sdk.Peer{}, time.Hour)
	defer e.End()
	answers := make(chan Answer, 1)
	e.Step(nil, func(a Answer) { answers <- a })
	<-began
	closed(t, w)
	if a := <-answers; !errors.Is(a.Err, context.Canceled) {
		t.Fatal(a.Err)
	}
}
