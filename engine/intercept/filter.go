package intercept

import (
	"context"
	"hash/fnv"
	"log/slog"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/engine/metrics"
	"github.com/millrace/millrace/sdk/chain"
)

// Filter is the interceptors of one topic, for produce or for fetch. Nothing else of it is ever
// changed than when it was logged that it is in the way.
type Filter struct {
	host   *Host
	first  uint32           // place of partition 0
	chains [][]chain.Plugin // by place
	closed error            // why no records may pass
	logged atomic.Int64     // when Unlogged last had it logged
}

// Filter is the filter of a topic; nil when it has no plugins.
func (h *Host) Filter(topic string, names []string, fetch bool) *Filter {
	if len(names) == 0 {
		return nil
	}
	hash := fnv.New32a()
	hash.Write([]byte(topic)) // never fails, by its contract
	f := &Filter{host: h, first: hash.Sum32(), closed: h.current.Check(names, fetch)}
	if f.closed != nil {
		h.o.Log.Error("records of a topic are refused: an interceptor of it is missing", "topic", topic, "error", f.closed)
		return f
	}
	api, label := "produce", "Produce"
	if fetch {
		api, label = "fetch", "Fetch"
		h.o.Log.Info("fetch interceptors: records of this topic are copied, not sent from mapped memory", "topic", topic, "interceptors", names)
	}
	f.chains = make([][]chain.Plugin, len(h.places))
	for _, name := range names {
		p := h.current.plugins[name]
		rules, bare := p.rules, p.rules // metrics outlive the instances
		rules.Watcher = watcher{name, h.o.Log, h.o.Metrics.Plugin(name, api, bare.Barred)}
		rules.Labels = pprof.WithLabels(context.Background(), pprof.Labels("api", label, "topic", topic, "plugin", name))
		for i := range f.chains {
			rules.Interceptor = p.instances[i]
			f.chains[i] = append(f.chains[i], rules)
		}
	}
	return f
}

// Plugins is how many there are.
func (f *Filter) Plugins() int {
	if len(f.chains) == 0 {
		return 0
	}
	return len(f.chains[0])
}

// Unlogged reports whether it should be logged that a plugin of f is not called, as nobody was told for
// a minute: consumers who hear of it ask again at once. Any goroutine.
func (f *Filter) Unlogged(now time.Time) bool {
	at, before := now.UnixNano(), f.logged.Load()
	return at-before > int64(time.Minute) && f.logged.CompareAndSwap(before, at)
}

// longestReason is how many bytes of what a plugin failed with are logged.
const longestReason = 500

// watcher counts calls, and logs why a plugin is switched off: with on.error=skip or dlq no producer is
// told.
type watcher struct {
	name   string
	log    *slog.Logger
	counts *metrics.Plugin
}

// Called counts one.
func (w watcher) Called(c *chain.Call) {
	m := w.counts
	m.In.Add(uint64(c.In))
	m.Out.Add(uint64(c.Out))
	m.Edited.Add(uint64(c.Edited))
	m.Dropped.Add(uint64(c.Dropped))
	m.Routed.Add(uint64(c.Routed))
	m.Failed.Add(uint64(c.Failed))
	m.DeadLettered.Add(uint64(c.DeadLettered))
	m.Fuel.Add(uint64(c.Fuel))
	switch {
	case c.Spent:
		m.Spent.Add(1)
		return
	case c.Off:
		m.Passed.Add(1)
		return
	case c.Fault:
		m.Faults.Add(1)
		if c.Tripped {
			why, _, _ := strings.Cut(c.Why.Error(), "\n") // without the stack of a trap
			w.log.Warn("a plugin failed too often and is switched off", "plugin", w.name, "last", why[:min(len(why), longestReason)])
		}
	case c.Rejected:
		m.Rejected.Add(1)
	}
	m.Took(c.Took)
}

// Place is where chains run: a runner and an instance of every plugin.
//
// Ownership: whoever has entered it has it until Leave.
type Place struct {
	number int
	turn   chan struct{} // holds one token while nobody is in
	runner *chain.Runner
}

// Enter waits for the place of a partition.
func (f *Filter) Enter(partition int32) *Place {
	p := f.host.places[(f.first+uint32(partition))%uint32(len(f.host.places))]
	p.enter()
	return p
}

func (p *Place) enter() { <-p.turn }

// Leave lets the next one in.
func (p *Place) Leave() { p.turn <- struct{}{} }

// Run runs the chain of f over a batch. f must have been read from the topic's settings after
// the place was entered, so that its instances are not closed.
func (p *Place) Run(f *Filter, in *chain.Input) (chain.Outcome, error) {
	if f.closed != nil {
		return chain.Outcome{}, &chain.Refusal{Cause: chain.Faulted, Reason: f.closed.Error()}
	}
	return p.runner.Run(f.chains[p.number], in)
}
