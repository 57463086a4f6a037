package sdk

import (
	"iter"

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

// Metered is an Interceptor whose calls cost fuel, as those of WebAssembly modules do.
type Metered interface {
	Interceptor
	// Spent is the fuel that calls have used since it was made. Any goroutine.
	Spent() int64
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
	ends    []int                  // of each record in section
	views   []View
	edits   []Edit // as many as views once there is one, else empty
	changed int    // edits that are not Kept
	headers []batch.Header
	reader  batch.Reader
	names   batch.Names
	arena   []byte
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
			b.edits = make([]Edit, len(b.views))
		}
		b.edits = b.edits[:len(b.views)]
		clear(b.edits)
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
func (b *Batch) SetHeaders(i int, headers []batch.Header) { b.edit(i, Edited).Headers = headers }

// AddHeader adds a header behind those that record i has.
func (b *Batch) AddHeader(i int, key string, value []byte) {
	e := b.edit(i, Edited)
	at := len(b.headers)
	b.headers = append(append(b.headers, e.Headers...), batch.Header{Key: key, Value: value})
	e.Headers = b.headers[at:len(b.headers):len(b.headers)]
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
		b.arena = make([]byte, 0, max(2*cap(b.arena), n, 4<<10)) // what points into the old one keeps it
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

func (b *Batch) read(section []byte) error {
	b.section, b.views, b.ends, b.headers, b.arena = section, b.views[:0], b.ends[:0], b.headers[:0], b.arena[:0]
	b.Revert()
	records := &b.reader
	records.Begin(section, b.Header.Count())
	records.Remember(&b.names)
	for records.Next() {
		r := records.Record()
		at := len(b.headers)
		b.headers = append(b.headers, r.Headers...)
		b.views = append(b.views, View{r.OffsetDelta, r.TimestampDelta, r.Key, r.Value, b.headers[at:len(b.headers):len(b.headers)]})
		b.ends = append(b.ends, len(section)-len(records.Buffer()))
	}
	return records.Err()
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
	b.edits, b.changed = b.edits[:0], 0
}
