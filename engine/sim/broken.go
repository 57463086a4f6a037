package sim

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// broken is a broker that breaks a promise, which the simulator must find. It is made of what a broker is
// given: a syncer, settings, requests. Program mutants breaks the code itself.
type broken struct {
	answersFirst bool                            // before anything is durable
	boasts       bool                            // its recovery points are beyond what is durable
	expiry       time.Duration                   // of producers. Zero: a day
	rewrite      func(kmsg.Request) kmsg.Request // what it makes of requests. Nil: nothing
	forgets      string                          // a folder that is gone after each crash. Empty: none
}

var whole = &broken{}

func (w *world) broken() *broken {
	if w.o.broken == nil {
		return whole
	}
	return w.o.broken
}

func (b *broken) producerExpiry() time.Duration {
	if b.expiry > 0 {
		return b.expiry
	}
	return 24 * time.Hour
}

func (b *broken) rewritten(q kmsg.Request) kmsg.Request {
	if b.rewrite == nil {
		return q
	}
	return b.rewrite(q)
}

// afterCrash takes away what the broker forgets.
func (b *broken) afterCrash(w *world) {
	if b.forgets == "" {
		return
	}
	if err := w.disk.RemoveAll(folder + "/" + b.forgets); err != nil {
		panic(err)
	}
}
