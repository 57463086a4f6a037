// Package dedupe is an interceptor that leaves out records whose key was seen in the same
// partition within a window:
//
//	interceptors.produce=dedupe
//	plugin.dedupe.config.window=5m
//	plugin.dedupe.config.max.keys=100000   for each worker of the broker, 40 bytes and more each; when
//	                                       there are more, the oldest are forgotten before their time
//	plugin.dedupe.config.by=key            or value, or header:<name>
//
// The producer hears that the record was stored; its offset stays empty. Records without that
// key are not looked at.
//
// Clients cannot run it: their batches have no sequence numbers yet.
//
// What it remembers is in memory: after a restart, a reload or a change of its settings the
// window begins anew. A key counts as seen when a record with it comes by, whether it is stored
// then or not:
//
//   - A batch that its idempotent producer sends again is let through as it was the first time,
//     by its sequence numbers. One that a producer without them sends again may have been stored
//     or not, nobody can tell, and so such batches are refused. Set enable.idempotence.
//   - A transaction that is aborted takes its records back, and the program sends them again: this
//     plugin cannot know, and would drop them. Batches of transactions are refused.
//   - When something behind this plugin refuses a batch, another plugin or the partition, and its
//     producer gives up and begins anew (with another id or epoch), what it sends again is dropped
//     within the window, though it was never stored. Put this plugin last in the list, and have
//     programs whose sends fail wait for longer than the window.
package dedupe

import (
	"hash/maphash"
	"strings"
	"time"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

func init() { sdk.Interceptors.Register("dedupe", New) }

// id is a key in a partition, hashed: 128 bits with secret seeds, so that nobody can make
// two keys meet.
type id [2]uint64

// sighting is when a key was seen first, and with which record.
type sighting struct {
	id       id
	until    time.Time
	producer int64
	epoch    int16
	sequence int32
}

type deduper struct {
	sdk.Nop
	window time.Duration
	header string // by it; else by the value or the key
	value  bool
	seeds  [2]maphash.Seed
	now    func() time.Time
	most   int        // keys that are remembered
	seen   map[id]int // place in ring
	ring   []sighting // a circle, the oldest at first
	first  int
	count  int
}

// New makes a deduper.
func New(c sdk.Config) (sdk.Interceptor, error) {
	d := &deduper{window: c.Duration("window", 5*time.Minute), seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, now: time.Now, seen: map[id]int{}}
	keys := c.Int("max.keys", 100_000)
	if keys < 1 || keys > 1<<28 {
		c.Wrong("max.keys", "at least 1 and at most 268435456")
		keys = 1
	}
	if d.window <= 0 {
		c.Wrong("window", "must be longer than nothing")
	}
	switch by := c.String("by", "key"); {
	case by == "value":
		d.value = true
	case strings.HasPrefix(by, "header:") && len(by) > len("header:"):
		d.header = strings.TrimPrefix(by, "header:")
	case by != "key":
		c.Wrong("by", "use key, value or header:<name>")
	}
	d.most = int(keys)
	return d, nil
}

// WhyBrokerOnly is sdk.BrokerOnly.
func (d *deduper) WhyBrokerOnly() string {
	return "it tells what is sent again by the numbers of producers, which batches have only once they are sent: name it in interceptors.produce of the broker or the topic"
}

// OnProduce drops what was seen before.
func (d *deduper) OnProduce(b *sdk.Batch) error {
	if b.Header.ProducerID() < 0 {
		return sdk.Reject("records are kept apart by key here, which needs an idempotent producer (enable.idempotence=true)")
	}
	if b.Header.Transactional() {
		return sdk.Reject("records are kept apart by key here, which cannot be taken back when a transaction is aborted: send them outside of transactions")
	}
	now := d.now()
	d.forget(now)
	for i, v := range b.All() {
		key := d.key(v)
		if key == nil {
			continue
		}
		if d.again(b, v, d.identify(b, key), now) {
			b.Drop(i)
		}
	}
	return nil
}

// key is what tells records apart; nil when v has none.
func (d *deduper) key(v *sdk.View) []byte {
	switch {
	case d.header != "":
		for _, h := range v.Headers {
			if h.Key == d.header {
				return h.Value
			}
		}
		return nil
	case d.value:
		return v.Value
	}
	return v.Key
}

func (d *deduper) identify(b *sdk.Batch, key []byte) (is id) {
	for n := range is {
		var h maphash.Hash
		h.SetSeed(d.seeds[n])
		h.WriteString(b.Topic) // never fails, by its contract
		h.Write([]byte{0, byte(b.Partition >> 24), byte(b.Partition >> 16), byte(b.Partition >> 8), byte(b.Partition)})
		h.Write(key)
		is[n] = h.Sum64()
	}
	return is
}

// again reports whether a key was seen with another record, and remembers it if not.
func (d *deduper) again(b *sdk.Batch, v *sdk.View, is id, now time.Time) bool {
	producer, epoch := b.Header.ProducerID(), b.Header.ProducerEpoch()
	sequence := batch.AddSequence(b.Header.BaseSequence(), v.OffsetDelta)
	if at, ok := d.seen[is]; ok {
		s := &d.ring[at]
		return s.producer != producer || s.epoch != epoch || s.sequence != sequence
	}
	d.remember(sighting{is, now.Add(d.window), producer, epoch, sequence})
	return false
}

// remember puts a sighting behind all others, in the place of the oldest when there are too many.
func (d *deduper) remember(s sighting) {
	if d.count == d.most {
		d.drop()
	}
	if d.count == len(d.ring) {
		d.grow()
	}
	at := (d.first + d.count) % len(d.ring)
	d.ring[at] = s
	d.seen[s.id] = at
	d.count++
}

// grow doubles the ring.
func (d *deduper) grow() {
	bigger := make([]sighting, min(max(2*len(d.ring), 64), d.most))
	for i := range d.count {
		bigger[i] = d.ring[(d.first+i)%len(d.ring)]
		d.seen[bigger[i].id] = i
	}
	d.ring, d.first = bigger, 0
}

// forget drops what was seen too long ago.
func (d *deduper) forget(now time.Time) {
	for d.count > 0 && !d.ring[d.first].until.After(now) {
		d.drop()
	}
}

func (d *deduper) drop() {
	delete(d.seen, d.ring[d.first].id)
	d.ring[d.first] = sighting{}
	d.first = (d.first + 1) % len(d.ring)
	d.count--
}
