package sdk

import (
	"iter"
	"time"
	"unsafe"

	"github.com/millrace/millrace/sdk/batch"
)

// Interceptor sees record batches: on produce before they are stored, on fetch before they
// are sent. It changes a batch through its methods alone. One value serves one worker at a
// time, batches of one partition come in order, and a call must not outlive its batch.
//
// The answer of a call is
//
//	nil            go on, with what was changed
//	Reject         refuse the batch; the producer gets INVALID_RECORD and the reason. On
//	               fetch nothing can be refused: it counts as a fault
//	another error  a fault, as is a panic: the error policy of the plugin decides
//
// Control batches, which hold the markers of transactions, are never shown.
type Interceptor interface {
	OnProduce(b *Batch) error
	OnFetch(b *Batch) error
}

// Guard is an Interceptor that records must not get past unseen, such as one that masks
// them. Settings that would let a batch through after a fault of it (on.error=skip) are
// refused while FailClosed says so.
type Guard interface {
	Interceptor
	FailClosed() bool
}

// BrokerOnly is an Interceptor that clients cannot run, since it goes by what batches have only
// once they were sent, such as the numbers of their producers.
type BrokerOnly interface {
	Interceptor
	// WhyBrokerOnly is what it needs, as the end of "a client cannot run it: ".
	WhyBrokerOnly() string
}

// Metered is an Interceptor whose calls cost fuel, as those of WebAssembly modules do.
type Metered interface {
	Interceptor
	// Spent is the fuel that calls have used since it was made. Any goroutine.
	Spent() int64
}

// Mending is an Interceptor that makes good aside what its failed calls have broken, as a
// WebAssembly module has another instance made in place of one that has trapped.
type Mending interface {
	Interceptor
	// Mended is the time that this took since it was asked last. Any goroutine.
	Mended() time.Duration
}

// Nop is an Interceptor that lets everything pass, to be embedded.
type Nop struct{}

// OnProduce lets b pass.
func (Nop) OnProduce(*Batch) error { return nil }

// OnFetch lets b pass.
func (Nop) OnFetch(*Batch) error { return nil }

// Rejection is the error of an interceptor that refuses a batch.
type Rejection struct{ Reason string }

// Reject refuses a batch. The reason reaches the program that produced it.
func Reject(reason string) error { return &Rejection{reason} }

func (r *Rejection) Error() string { return "rejected: " + r.Reason }

// View is one record of a Batch. Its bytes belong to the host: read-only, and gone when
// the call returns. nil is null.
type View struct {
	OffsetDelta    int32 // from the batch's base offset; gaps are allowed on fetch
	TimestampDelta int64 // milliseconds from the batch's base timestamp
	Key, Value     []byte
	Headers        []batch.Header
}

// Fate is what becomes of a record.
type Fate uint8

// The fates of a record.
const (
	Kept    Fate = iota
	Edited       // kept, with another key, value or headers
	Dropped      // neither stored nor sent; its offset stays empty
	Routed       // stored in another topic instead
	Failed       // on.error decides: it fails the batch, passes as it is, or goes to the dead-letter topic
)

// Edit is what an interceptor did to one record.
type Edit struct {
	Fate   Fate
	Topic  string // of Routed
	Reason string // of Failed
	View          // of Edited, whole
}

// Batch is the records of one batch with what interceptors change in them. Its header is
// read-only: the host builds a new one.
//
// Ownership: the host's. Plugins and what they hand to Set may be reused after the call;
// bytes given to Set are the batch's until then.
type Batch struct {
	Topic     string
	Partition int32
	ClientID  string // of the producer, or of the reader; "" when not known
	Header    batch.Batch

	head    [batch.HeaderSize]byte // Header, once a host has opened the batch
	section []byte                 // the records, uncompressed
	size    batch.Size             // of section
	ends    []int                  // of each record in section
	views   []View
	edits   []Edit         // as many as views once there is one, else empty
	changed int            // edits that are not Kept
	headers []batch.Header // of all records, as they are in section
	added   []batch.Header // the lists that AddHeader has made, whole
	tail    int            // one more than the record whose list ends added; 0: none
	reader  batch.Reader
	names   batch.Names
	arena   []byte

	memory   batch.Memory // that lends what is above, beyond what was there. Nil: whatever it takes
	borrowed int
	lack     error // of memory that an edit took
}

// Len is how many records there are, with those that were dropped.
func (b *Batch) Len() int { return int(b.Header.Count()) }

// Section is the records as they are encoded in a batch, uncompressed, without the edits.
func (b *Batch) Section() []byte { return b.section }

// All walks the records in order. A record that was edited is seen as it is now, one that
// was dropped, routed or failed is left out.
func (b *Batch) All() iter.Seq2[int, *View] {
	return func(yield func(int, *View) bool) {
		for i := range b.views {
			v := &b.views[i]
			if b.changed > 0 {
				switch e := &b.edits[i]; e.Fate {
				case Edited:
					v = &e.View
				case Dropped, Routed, Failed:
					continue
				}
			}
			if !yield(i, v) {
				return
			}
		}
	}
}

// edit is the edit of record i, begun from what it was.
func (b *Batch) edit(i int, fate Fate) *Edit {
	if len(b.edits) == 0 && len(b.views) > 0 {
		if cap(b.edits) < len(b.views) {
			b.owe(len(b.views) * editSize)
			b.edits = make([]Edit, len(b.views))
		}
		b.edits = b.edits[:len(b.views)]
	}
	e := &b.edits[i]
	if e.Fate == Kept {
		b.changed++
		e.View = b.views[i]
	}
	e.Fate = fate
	return e
}

// SetKey changes the key of record i; nil is null.
func (b *Batch) SetKey(i int, key []byte) { b.edit(i, Edited).Key = key }

// SetValue changes the value of record i; nil is null.
func (b *Batch) SetValue(i int, value []byte) { b.edit(i, Edited).Value = value }

// SetHeaders replaces the headers of record i.
func (b *Batch) SetHeaders(i int, headers []batch.Header) {
	b.edit(i, Edited).Headers = headers
	if b.tail == i+1 {
		b.tail = 0
	}
}

// AddHeader adds a header behind those that record i has.
func (b *Batch) AddHeader(i int, key string, value []byte) {
	e := b.edit(i, Edited)
	one := batch.Header{Key: key, Value: value}
	if b.tail == i+1 && len(b.added) < cap(b.added) { // its list is the last, and can grow where it is
		b.added = append(b.added, one)
		e.Headers = b.added[len(b.added)-1-len(e.Headers) : len(b.added) : len(b.added)]
		return
	}
	if need := len(e.Headers) + 1; cap(b.added)-len(b.added) < need {
		size := max(min(2*cap(b.added), chunk/headerSize), need+need/4, 64) // with room for the next header of the same record
		b.owe(size * headerSize)
		b.added = make([]batch.Header, 0, size) // what points into the old one keeps it
	}
	at := len(b.added)
	b.added = append(append(b.added, e.Headers...), one)
	e.Headers = b.added[at:len(b.added):len(b.added)]
	b.tail = i + 1
}

// Drop leaves record i out. The producer hears that it was stored.
func (b *Batch) Drop(i int) { b.edit(i, Dropped) }

// DropAll leaves all records out.
func (b *Batch) DropAll() {
	for i := range b.views {
		b.edit(i, Dropped)
	}
}

// Route stores record i in another topic instead of this one. On fetch it counts as Drop.
func (b *Batch) Route(i int, topic string) { b.edit(i, Routed).Topic = topic }

// Fail says that record i is bad, and why.
func (b *Batch) Fail(i int, reason string) { b.edit(i, Failed).Reason = reason }

// Alloc is n bytes that live as long as the call, for values given to Set.
func (b *Batch) Alloc(n int) []byte {
	if cap(b.arena)-len(b.arena) < n {
		size := max(min(2*cap(b.arena), chunk), n, 4<<10)
		b.owe(size)
		b.arena = make([]byte, 0, size) // what points into the old one keeps it
	}
	at := len(b.arena)
	b.arena = b.arena[:at+n]
	return b.arena[at : at+n : at+n]
}

// Changed reports whether any record was changed.
func (b *Batch) Changed() bool { return b.changed > 0 }

// Edits are what became of the records, one for each, or none when nothing was changed.
// Hosts read it.
func (b *Batch) Edits() []Edit {
	if b.changed == 0 {
		return nil
	}
	return b.edits
}

// Sizes in memory, in bytes.
const (
	viewSize   = int(unsafe.Sizeof(View{})) + int(unsafe.Sizeof(0)) // with its end
	editSize   = int(unsafe.Sizeof(Edit{}))
	headerSize = int(unsafe.Sizeof(batch.Header{}))

	chunk        = 1 << 20  // most by which memory grows that cannot be moved
	smallSection = 64 << 10 // bytes of records that become less than 3 MiB in lists, whatever they hold
)

// Weight is how many bytes a Batch may take to show records of that size, with an edit of
// each and a header added to each. Hosts reserve it.
func Weight(s batch.Size) int {
	return s.Records*(viewSize+editSize) + (2*s.Headers+s.Headers/4+2*s.Records)*headerSize + s.Named
}

// Lend has b borrow from m what it takes beyond what it has, until Forget. Hosts call it
// before Open.
func (b *Batch) Lend(m batch.Memory) { b.memory = m }

// Lack is why there was no memory for edits; nil when there was. Hosts ask after each call
// of a plugin, which cannot be told.
func (b *Batch) Lack() error { return b.lack }

// Size is what the records in Section come to. Hosts read it.
func (b *Batch) Size() batch.Size { return b.size }

// Forget has b let go of its records, give back what it has borrowed, and keep no more than
// so many bytes of memory of each kind for other ones. Hosts call it when they are done.
func (b *Batch) Forget(keep int) {
	b.clear()
	b.section, b.size, b.reader = nil, batch.Size{}, batch.Reader{}
	if cap(b.views)*viewSize > keep {
		b.views, b.ends = nil, nil
	}
	if cap(b.edits)*editSize > keep {
		b.edits = nil
	}
	if cap(b.headers)*headerSize > keep {
		b.headers = nil
	}
	if cap(b.added)*headerSize > keep {
		b.added = nil
	}
	if cap(b.arena) > keep {
		b.arena = nil
	}
	if b.borrowed > 0 {
		b.memory.Return(b.borrowed)
	}
	b.borrowed, b.memory, b.lack = 0, nil, nil
}

// clear lets go of all records, and of what points at them.
func (b *Batch) clear() {
	b.Revert()
	clear(b.views)
	clear(b.headers)
	b.views, b.ends, b.headers, b.arena = b.views[:0], b.ends[:0], b.headers[:0], b.arena[:0]
}

func (b *Batch) borrow(bytes int) error {
	if b.memory == nil || bytes == 0 {
		return nil
	}
	if err := b.memory.Borrow(bytes); err != nil {
		return err
	}
	b.borrowed += bytes
	return nil
}

// owe is borrow for an edit, which cannot fail: what there was no memory for is told by Lack.
func (b *Batch) owe(bytes int) {
	if err := b.borrow(bytes); err != nil && b.lack == nil {
		b.lack = err
	}
}

// Open makes b show the records of whole, decompressed into section, which the caller has
// checked (batch.Check, batch.CheckRecords). Hosts call it, and reuse b.
func (b *Batch) Open(whole batch.Batch, section []byte) error {
	copy(b.head[:], whole) // a plugin that writes to it harms nobody
	b.Header = b.head[:]
	return b.read(section)
}

// Reopen makes b show other records: those that a host encoded from the edits, count of
// them. The rest of the header stays.
func (b *Batch) Reopen(section []byte, count int) error {
	b.Header = b.head[:]
	b.Header.SetCount(int32(count))
	return b.read(section)
}

// read counts before it takes memory: a header of two bytes takes twenty times as many here.
// Of a small section it cannot become so much that anybody has to be asked.
func (b *Batch) read(section []byte) error {
	b.clear()
	small := len(section) <= smallSection
	if !small {
		var err error
		if b.size, err = batch.Count(section, b.Header.Count()); err != nil {
			return err
		}
		if err := b.room(); err != nil {
			return err
		}
	}
	b.section = section
	records, headers := &b.reader, 0
	records.Begin(section, b.Header.Count())
	records.Remember(&b.names)
	records.Collect(b.headers)
	for records.Next() {
		r := records.Record()
		headers += len(r.Headers)
		b.views = append(b.views, View{r.OffsetDelta, r.TimestampDelta, r.Key, r.Value, r.Headers[:len(r.Headers):len(r.Headers)]})
		b.ends = append(b.ends, len(section)-len(records.Buffer()))
	}
	if small {
		b.size = batch.Size{Bytes: len(section), Records: len(b.views), Headers: headers}
	}
	if headers > cap(b.headers) { // the next batch finds room in one piece
		b.headers = make([]batch.Header, 0, headers)
		return records.Err()
	}
	b.headers = b.headers[:headers]
	return records.Err()
}

// room sees to it that there is memory for what was counted.
func (b *Batch) room() error {
	views, headers, need := b.size.Records > cap(b.views), b.size.Headers > cap(b.headers), b.size.Named
	if views {
		need += b.size.Records * viewSize
	}
	if headers {
		need += b.size.Headers * headerSize
	}
	if err := b.borrow(need); err != nil {
		return err
	}
	if views {
		b.views, b.ends = make([]View, 0, b.size.Records), make([]int, 0, b.size.Records)
	}
	if headers {
		b.headers = make([]batch.Header, 0, b.size.Headers)
	}
	return nil
}

// Original is record i as it was before the edits. Hosts read it.
func (b *Batch) Original(i int) *View { return &b.views[i] }

// Raw is record i as it is encoded in Section, without the edits. Hosts read it.
func (b *Batch) Raw(i int) []byte {
	from := 0
	if i > 0 {
		from = b.ends[i-1]
	}
	return b.section[from:b.ends[i]]
}

// Revert forgets all edits. Hosts call it, when the error policy says that a batch goes on
// as it was.
func (b *Batch) Revert() {
	clear(b.edits)
	clear(b.added)
	b.edits, b.added, b.changed, b.tail = b.edits[:0], b.added[:0], 0, 0
}
