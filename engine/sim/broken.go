package sim

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/diskio"
)

// Broken is a broker that breaks a promise, which the simulator must find.
type Broken struct {
	Name string

	answersFirst  bool                            // before anything is durable
	trustsCrashes bool                            // takes every stop for a clean one
	forgets       bool                            // idempotent producers, soon
	rewrite       func(kmsg.Request) kmsg.Request // what it makes of requests
	onCrash       func(w *world)                  // what it loses
}

var whole = &Broken{}

func (w *world) broken() *Broken {
	if w.o.Broken == nil {
		return whole
	}
	return w.o.Broken
}

func (b *Broken) files(m *diskio.Memory) diskio.FS { return m }

func (b *Broken) producerExpiry() time.Duration {
	if b.forgets {
		return time.Second
	}
	return 24 * time.Hour
}

func (b *Broken) rewritten(q kmsg.Request) kmsg.Request {
	if b.rewrite == nil {
		return q
	}
	return b.rewrite(q)
}

func (b *Broken) afterCrash(w *world) {
	if b.onCrash != nil {
		b.onCrash(w)
	}
}
