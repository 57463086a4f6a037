package native

import (
	"log/slog"
	"testing"
	"time"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/chain"
)

// keeping is an interceptor that lets nothing through.
type keeping struct {
	sdk.Nop
	refuse bool
}

func (k keeping) OnProduce(b *sdk.Batch) error {
	if k.refuse {
		return sdk.Reject("as told")
	}
	for i := range b.All() {
		b.Drop(i)
	}
	return nil
}

// testSender is a sender that nobody runs, with a partition that broker 1 leads.
func testSender(o Options) (*sender, *partition) {
	o.Log, o.BatchBytes, o.MaxRequestBytes, o.DeliveryTimeout = slog.New(slog.DiscardHandler), 16<<10, 1<<20, time.Minute
	p := &Producer{options: o, began: time.Now(), memory: NewMemory(1 << 20)}
	p.topics.Store(&map[string]*Topic{})
	p.ready.wake = make(chan struct{}, 1)
	p.sender = newSender(p)
	part := &partition{topic: "t", id: -1, epoch: -1, leader: 1, begun: -1, active: true}
	p.sender.brokers[1] = &broker{id: 1, address: "nowhere"}
	p.sender.active = append(p.sender.active, part)
	p.sender.parts["t"] = []*partition{part}
	return p.sender, part
}

// What is open goes when its time comes, also when nothing of the batch before it went.
func TestTheEndOfABurstGoesInTime(t *testing.T) {
	for name, one := range map[string]keeping{"dropped": {}, "refused": {refuse: true}} {
		t.Run(name, func(t *testing.T) {
			linger := 5 * time.Millisecond
			s, part := testSender(Options{Linger: linger, Plugins: []chain.Plugin{{Name: "keeping", Interceptor: one}}})
			now := int64(time.Second)
			full, open := filled(part, 3), filled(part, 1)
			full.begun, open.begun = now, now
			part.sealed, part.open, part.fresh = append(part.sealed, full), open, true
			if at := s.dispatch(now); at > now+int64(linger) {
				t.Fatalf("looks again after %v, the linger is %v", time.Duration(at-now), linger)
			}
			if s.dispatch(now + int64(linger)); part.open != nil || len(part.queue) > 0 {
				t.Errorf("open %v, %d queued", part.open != nil, len(part.queue))
			}
		})
	}
}
