// Package label names what the broker works on in profiles of its processor time: the API
// of the request ("api") and the topic ("topic"). What is done for no request in
// particular has a name in brackets for its API.
//
//	api=Produce topic=orders     walking, verifying, appending, syncing, answering
//	api=Fetch topic=orders       looking up, sending
//	api=Metadata                 all other requests, by their names
//	api=(groups) (transactions)  coordinators
//	api=(loop) (shard) (syncer) (cleaner) (housekeeper)
//
// Labels are made once, and put on a goroutine only while somebody takes a profile; else
// the price is to look at one counter. That counter is the process's, as the profiler is:
// the runtime takes one profile at a time.
package label

import (
	"context"
	"runtime/pprof"
	"sync/atomic"
)

// profiles is how many are being taken, or waited for.
var profiles atomic.Int32

// Begin says that a profile is about to be taken; End that it was.
func Begin() { profiles.Add(1) }

// End takes back one Begin.
func End() { profiles.Add(-1) }

// On reports whether labels are to be set.
func On() bool { return profiles.Load() > 0 }

// Count is the counter behind On, for packages that know nothing of this one.
func Count() *atomic.Int32 { return &profiles }

// Of is the set of labels of these keys and values.
func Of(pairs ...string) context.Context {
	return pprof.WithLabels(context.Background(), pprof.Labels(pairs...))
}

// Labels of what is done for no request.
var (
	Loop         = Of("api", "(loop)")
	Shard        = Of("api", "(shard)")
	Syncer       = Of("api", "(syncer)")
	Cleaner      = Of("api", "(cleaner)")
	Housekeeper  = Of("api", "(housekeeper)")
	Groups       = Of("api", "(groups)")
	Transactions = Of("api", "(transactions)")
)

// Set puts labels on the goroutine that calls, in place of those that it had.
func Set(labels context.Context) { pprof.SetGoroutineLabels(labels) }

// Topic is the labels of one topic, made when they are first asked for. Any goroutine.
type Topic struct {
	produce, fetch atomic.Pointer[context.Context]
}

// Produce is what is done to store records of the topic.
func (t *Topic) Produce(name string) context.Context { return made(&t.produce, "Produce", name) }

// Fetch is what is done to send them.
func (t *Topic) Fetch(name string) context.Context { return made(&t.fetch, "Fetch", name) }

func made(p *atomic.Pointer[context.Context], api, topic string) context.Context {
	if known := p.Load(); known != nil {
		return *known
	}
	fresh := Of("api", api, "topic", topic)
	p.Store(&fresh)
	return fresh
}
