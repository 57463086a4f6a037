package batch

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"runtime"
	"sync"
)

// ScanOptions are how records are looked through. The zero value looks at all of them
// and holds none.
type ScanOptions struct {
	// Max bounds the bytes that the records may have once they are decompressed, else
	// ErrSize. Zero: no bound, for time passes and memory does not.
	Max int64
	// Hold is how large a record may be that Record answers. Zero: it answers none.
	Hold int
	// Memory lends what a codec must hold beyond a small window. Nil: whatever it takes.
	Memory Memory

	copy io.Writer // gets all that is read
}

// RecordHead is what a scanner tells of every record.
type RecordHead struct {
	TimestampDelta     int64 // milliseconds from the batch's base timestamp
	OffsetDelta        int32 // from the batch's base offset
	KeySize, ValueSize int   // −1: null
}

// Scanner walks over the records of one batch while they are decompressed, through a
// window: however much they become, they are never in memory together.
type Scanner struct {
	o      ScanOptions
	plain  *plain // nil: the window is the batch itself, of which all is there
	own    []byte // a window for what is decompressed
	window []byte
	at     int   // in the window, of what was not used yet
	filled int   // of the window
	read   int64 // bytes that were decompressed
	used   int64 // bytes before at, since the last settle
	left   int32 // records
	head   RecordHead
	// Of the last record, unless it was held: how many headers it has, and their bytes.
	headers, named int

	whole  []byte // the record that is held, without its length
	body   []byte // for one that does not lie in the window
	record Record
	held   bool
	err    error
}

// MaxPlain bounds, for brokers and tools, what the records of one batch may become, in
// bytes: more than gzip or lz4 can make of a mebibyte. It bounds time; memory is bounded by windows.
const MaxPlain = 1100 << 20

// giveWay is after how many bytes a scan lets others run: the scheduler itself would take
// 10 ms to see to that, for each of those who wait for one another.
const giveWay = 64 << 10

// scanWindow is the size of a scanner's window in bytes.
const scanWindow = 16 << 10

var scanners = sync.Pool{New: func() any { return &Scanner{own: make([]byte, scanWindow)} }}

// Scan begins to look through the records of b, which must have passed Check.
//
// Ownership: the scanner reads b until Close, which must follow.
func Scan(b Batch, o ScanOptions) (*Scanner, error) {
	if o.Max == 0 {
		o.Max = math.MaxInt64
	}
	var p *plain
	if b.Codec() != None || o.copy != nil {
		var err error
		if p, err = decompress(b.Codec(), b[HeaderSize:], o.Memory); err != nil {
			return nil, err
		}
	} else if int64(len(b)-HeaderSize) > o.Max {
		return nil, ErrSize
	}
	s := scanners.Get().(*Scanner)
	s.o, s.plain, s.left = o, p, b.Count()
	s.window, s.at, s.filled, s.read, s.err, s.held = s.own, 0, 0, 0, nil, false
	if p == nil {
		s.window, s.filled = b[HeaderSize:], len(b)-HeaderSize
	}
	return s, nil
}

// Close gives the scanner back.
func (s *Scanner) Close() {
	if s.plain != nil {
		s.plain.done()
	}
	s.plain, s.o, s.err, s.window, s.whole = nil, ScanOptions{}, nil, nil, nil
	if cap(s.body) > scanWindow {
		s.body = nil
	}
	scanners.Put(s)
}

// Next moves to the next record and reports whether there is one. When the count of the
// batch and its bytes disagree, or they cannot be decompressed, Err says so.
func (s *Scanner) Next() bool {
	if s.err != nil {
		return false
	}
	if s.left == 0 {
		if s.fill(1); s.err == nil && s.at < s.filled {
			s.err = ErrCount
		}
		return false
	}
	s.left--
	s.next()
	return s.err == nil
}

// Head is what Next read of the record.
func (s *Scanner) Head() *RecordHead { return &s.head }

// Record is the record that Next moved to, or nil when it is larger than what is held. It
// is valid until the next call of Next.
func (s *Scanner) Record() *Record {
	if !s.held {
		return nil
	}
	return &s.record
}

// Err is what stopped Next before the end, or nil.
func (s *Scanner) Err() error { return s.err }

// Check walks to the end, as CheckRecords does: offsets follow each other from 0, nothing
// comes behind the last record and, if keys is set, each has a key (else ErrKey).
func (s *Scanner) Check(keys bool) error {
	for delta := int32(0); s.Next(); delta++ {
		if s.head.OffsetDelta != delta {
			return ErrCount
		}
		if keys && s.head.KeySize < 0 {
			return ErrKey
		}
	}
	return s.err
}

func (s *Scanner) next() {
	s.held = false
	size := s.varint()
	if s.err == nil && size <= 0 {
		s.err = ErrRecord
	}
	if s.err != nil {
		return
	}
	if size <= int64(s.o.Hold) {
		s.hold(int(size))
		return
	}
	s.used = 0
	s.skip(1) // attributes
	s.head.TimestampDelta = s.varint()
	offset := s.varint()
	s.head.OffsetDelta = int32(offset)
	s.head.KeySize = s.pass(true)
	s.head.ValueSize = s.pass(true)
	headers := s.varint()
	if s.err == nil && (offset != int64(int32(offset)) || headers < 0 || headers > size/2) {
		s.err = ErrRecord
	}
	s.headers, s.named = int(headers), int(size-s.used)
	for ; headers > 0 && s.err == nil && s.used <= size; headers-- {
		s.pass(false)
		s.pass(true)
	}
	if s.err == nil && s.used != size {
		s.err = ErrRecord
	}
}

// hold reads a record whole. It is copied only when it does not lie in the window.
func (s *Scanner) hold(size int) {
	if s.filled-s.at >= size {
		s.whole = s.window[s.at : s.at+size]
		s.at += size
	} else {
		s.gather(size)
	}
	if s.err != nil {
		return
	}
	if len(s.whole) < size || !s.record.parse(s.whole, nil) {
		s.err = ErrRecord
		return
	}
	s.held = true
	r := &s.record
	s.head = RecordHead{r.TimestampDelta, r.OffsetDelta, nullableLen(r.Key), nullableLen(r.Value)}
}

// gather puts a record together of what comes into the window.
func (s *Scanner) gather(size int) {
	s.body = s.body[:0]
	for len(s.body) < size && s.fill(1) {
		n := min(size-len(s.body), s.filled-s.at)
		s.body = append(s.body, s.window[s.at:s.at+n]...)
		s.at += n
	}
	s.whole = s.body
}

func nullableLen(p []byte) int {
	if p == nil {
		return -1
	}
	return len(p)
}

// pass skips a field that its length comes before, and answers that.
func (s *Scanner) pass(nullable bool) int {
	size := s.varint()
	if s.err != nil || nullable && size == -1 {
		return -1
	}
	if size < 0 || size > math.MaxInt32 {
		s.err = ErrRecord
		return -1
	}
	s.skip(size)
	return int(size)
}

func (s *Scanner) skip(n int64) {
	for n > 0 && s.fill(1) {
		passed := min(n, int64(s.filled-s.at))
		s.at += int(passed)
		s.used += passed
		n -= passed
	}
	if n > 0 && s.err == nil {
		s.err = ErrRecord
	}
}

func (s *Scanner) varint() int64 {
	s.fill(binary.MaxVarintLen64)
	if s.err != nil {
		return 0
	}
	v, n := binary.Varint(s.window[s.at:s.filled])
	if n <= 0 {
		s.err = ErrRecord
		return 0
	}
	s.at += n
	s.used += int64(n)
	return v
}

// fill sees to it that n bytes are in the window, or all that are left. It reports whether
// there are any.
func (s *Scanner) fill(n int) bool {
	if s.filled-s.at >= n {
		return true
	}
	if s.plain == nil {
		return s.filled > s.at
	}
	s.filled = copy(s.window, s.window[s.at:s.filled])
	s.at = 0
	for s.filled < n && s.err == nil {
		got, err := s.plain.Read(s.window[s.filled:])
		if got > 0 && s.o.copy != nil {
			if _, refused := s.o.copy.Write(s.window[s.filled : s.filled+got]); refused != nil {
				err = refused
			}
		}
		s.filled += got
		if before := s.read; before/giveWay != (before+int64(got))/giveWay {
			runtime.Gosched()
		}
		s.read += int64(got)
		switch {
		case s.read > s.o.Max:
			s.err = ErrSize
		case errors.Is(err, io.EOF):
			return s.filled > 0
		case err != nil:
			s.err = err
		}
	}
	return s.err == nil && s.filled > 0
}
