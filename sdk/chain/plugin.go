package chain

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/sdk"
)

// Policy is what becomes of records that a plugin calls bad, and of the whole batch when a
// call of it fails (on.error).
type Policy int8

// The policies.
const (
	Fail       Policy = iota // the batch is refused
	Skip                     // it goes on as if the plugin were not there
	DeadLetter               // it goes to the plugin's dead-letter topic
)

var policyNames = [...]string{"fail", "skip", "dlq"}

// String is the name that settings have for p.
func (p Policy) String() string { return policyNames[p] }

// ParsePolicy finds a policy by its name in settings.
func ParsePolicy(name string) (Policy, error) {
	for i, known := range policyNames {
		if name == known {
			return Policy(i), nil
		}
	}
	return Fail, fmt.Errorf("unknown error policy %q: use fail, skip or dlq", name)
}

// Plugin is one interceptor of a chain, and how its faults are treated.
type Plugin struct {
	Name        string
	Interceptor sdk.Interceptor
	OnError     Policy
	DeadLetter  string   // topic, with OnError DeadLetter
	Breaker     *Breaker // shared by all instances of the plugin. Nil: it is never switched off
	Faults      *Budget  // for calls that end in a fault, shared likewise. Nil: without a bound
	Calls       *Budget  // for all calls, shared likewise. Nil: without a bound
	Watcher     Watcher  // hears of each call. Nil: nobody does
	// Labels carry what profiles show of the goroutine during a call (pprof.WithLabels), if
	// the Input has some to put back. Nil: it keeps its own.
	Labels context.Context
}

// Check says what is wrong with the policies of p.
func (p *Plugin) Check() error {
	if guard, ok := p.Interceptor.(sdk.Guard); ok && p.OnError == Skip && guard.FailClosed() {
		return fmt.Errorf("plugin %s: on.error=skip would let records past it that it has not seen, and it forbids that (fail_closed): use fail or dlq", p.Name)
	}
	if p.OnError == DeadLetter && p.DeadLetter == "" {
		return fmt.Errorf("plugin %s: on.error=dlq needs dlq.topic", p.Name)
	}
	return nil
}

// Barred is for how long yet the plugin is not called: because the breaker has it off, and because
// one of its budgets is spent. Any goroutine.
func (p *Plugin) Barred(now time.Time) (off, spent time.Duration) {
	return p.Breaker.Rest(now), max(p.Faults.Rest(now), p.Calls.Rest(now))
}

// Watcher hears what calls of a plugin came to, from whichever goroutine made them.
type Watcher interface {
	// Called is told of one call, which is valid until it returns.
	Called(c *Call)
}

// Call is what one call of a plugin came to. In is Out + Dropped + Routed + DeadLettered,
// unless the batch was refused.
type Call struct {
	Took         time.Duration
	In, Out      int // records
	Edited       int
	Dropped      int
	Routed       int
	Failed       int   // called bad, whatever became of them
	DeadLettered int   // that go to the dead-letter topic
	Fuel         int64 // used by the call, when the plugin counts it
	Rejected     bool  // the batch was refused
	Fault        bool  // the call ended in an error or a panic
	Tripped      bool  // which has the breaker switch the plugin off
	Why          error // what it failed with, or why nobody was called
	Off          bool  // nobody was called: the breaker has it off, or
	Spent        bool  // one of its budgets is spent
}

// Cause is why a batch is refused.
type Cause int8

// The causes.
const (
	Rejected Cause = iota // by the plugin, with a reason for the producer
	Bad                   // a record is, says the plugin
	Faulted               // the plugin has failed, or may not be called
	TooLarge              // it would be larger than the topic takes
)

// Refusal is the error of a batch that must not go on.
type Refusal struct {
	Plugin string // "" when it was none
	Cause  Cause
	Reason string
	Off    bool // the plugin was not called: the breaker has it off, or
	Spent  bool // one of its budgets is spent
}

func (r *Refusal) Error() string {
	if r.Plugin == "" {
		return r.Reason
	}
	return "plugin " + r.Plugin + ": " + r.Reason
}
