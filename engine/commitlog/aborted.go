package commitlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// abortedSize is the size in bytes of an entry of a .txnindex file.
const abortedSize = 34

// encodeAborted is the content of a .txnindex file.
func encodeAborted(all []batch.Aborted) []byte {
	out := make([]byte, 0, len(all)*abortedSize)
	for _, a := range all {
		out = append(out, 0, 0) // version
		out = binary.BigEndian.AppendUint64(out, uint64(a.ProducerID))
		out = binary.BigEndian.AppendUint64(out, uint64(a.First))
		out = binary.BigEndian.AppendUint64(out, uint64(a.Last))
		out = binary.BigEndian.AppendUint64(out, uint64(a.Stable))
	}
	return out
}

// decodeAborted reads the .txnindex file of a segment. One without entries is never written.
func decodeAborted(data []byte, base int64) ([]batch.Aborted, error) {
	if len(data) == 0 || len(data)%abortedSize != 0 {
		return nil, fmt.Errorf("%w: %d bytes are no whole entries", errIndex, len(data))
	}
	all := make([]batch.Aborted, len(data)/abortedSize)
	before := base - 1
	for i := range all {
		p := data[i*abortedSize:]
		a := batch.Aborted{
			ProducerID: int64(binary.BigEndian.Uint64(p[2:])), First: int64(binary.BigEndian.Uint64(p[10:])),
			Last: int64(binary.BigEndian.Uint64(p[18:])), Stable: int64(binary.BigEndian.Uint64(p[26:])),
		}
		if p[0] != 0 || p[1] != 0 || a.ProducerID < 0 || a.First < 0 || a.Last <= before || a.First >= a.Last || a.Stable < 0 || a.Stable > a.Last+1 {
			return nil, fmt.Errorf("%w: entry %d is %+v behind offset %d", errIndex, i, a, before)
		}
		all[i], before = a, a.Last
	}
	return all, nil
}

// Abort says that the next Append has a marker which aborts a. Calls follow the order of the
// markers.
func (l *Log) Abort(a batch.Aborted) { l.aborting = append(l.aborting, a) }

// abort notes what b aborts if it is the marker of the first that waits, and answers who waits behind it.
func (s *Segment) abort(b batch.Batch, waiting []batch.Aborted) []batch.Aborted {
	if len(waiting) == 0 || waiting[0].Last != b.BaseOffset() {
		return waiting
	}
	s.addAborted(waiting[0])
	return waiting[1:]
}

func (s *Segment) addAborted(a batch.Aborted) {
	t := s.aborted.Load()
	if t == nil {
		t = new(table[batch.Aborted])
		s.aborted.Store(t)
	}
	t.add(a)
}

// setAborted says that all is what s has aborted.
func (s *Segment) setAborted(all []batch.Aborted) {
	t := new(table[batch.Aborted])
	t.set(all)
	s.aborted.Store(t)
}

// abortsNothing reports whether it is known that nothing was aborted in s (any).
func (s *Segment) abortsNothing() bool {
	t := s.aborted.Load()
	return t != nil && t.count.Load() == 0
}

// cutAborted forgets transactions whose markers lie at or behind end.
func (s *Segment) cutAborted(end int64) {
	if t := s.aborted.Load(); t != nil {
		all := t.view()
		t.cut(sort.Search(len(all), func(i int) bool { return all[i].Last >= end }))
	}
}

// Aborted appends to dst the aborted transactions that have records in [from, limit), in the
// order of their markers. With hot the error is ErrCold when an index that is needed is not in
// memory (any).
func (l *Log) Aborted(dst []batch.Aborted, from, limit int64, hot bool) ([]batch.Aborted, error) {
	before := len(dst)
	for {
		list := l.segments.Load()
		if len(*list) == 0 || (*list)[0].base > from {
			return dst[:before], l.missing() // what was found is gone, and nobody can tell what was aborted in it
		}
		var err error
		dst, err = l.abortedIn(*list, dst[:before], from, limit, hot)
		if l.segments.Load() == list {
			return dst, err
		}
		// One that was gone may have been cleaned: what it had is in its successor.
	}
}

// abortedIn is Aborted with these segments.
func (l *Log) abortedIn(list []*Segment, dst []batch.Aborted, from, limit int64, hot bool) ([]batch.Aborted, error) {
	first := sort.Search(len(list), func(i int) bool { return list[i].base > from })
	for _, s := range list[max(first-1, 0):] {
		if s.abortsNothing() || !s.retain() {
			continue // one that is gone lies below the start
		}
		all, err := s.abortedIndex(hot)
		s.Release()
		if err != nil {
			return dst, err
		}
		for _, a := range all[sort.Search(len(all), func(i int) bool { return all[i].Last >= from }):] {
			if a.First < limit {
				dst = append(dst, a)
			}
			if a.Stable >= limit {
				return dst, nil
			}
		}
	}
	return dst, nil
}

// abortedIndex is what s has aborted, read from its file if need be. The caller holds a
// reference (any).
func (s *Segment) abortedIndex(hot bool) ([]batch.Aborted, error) {
	if t := s.aborted.Load(); t != nil {
		return t.view(), nil
	}
	if hot {
		return nil, ErrCold
	}
	all, err := s.vouchedAborted()
	if err != nil {
		if !errors.Is(err, errUnknown) && !s.deleted.Load() { // the names of one that is gone are those of another
			s.log.logger.Warn("the index of aborted transactions cannot be used; it is made again from the batches", "segment", s.path, "error", err)
		}
		if all, err = s.log.searchAborted(s); err != nil {
			return nil, err
		}
		s.unseal()
	}
	t := new(table[batch.Aborted])
	t.set(all)
	if !s.aborted.CompareAndSwap(nil, t) {
		t = s.aborted.Load()
	}
	return t.view(), nil
}

// errUnknown says that the files leave what was aborted to the batches, without being damaged.
var errUnknown = errors.New("nobody has noted what was aborted")

// nobodyKnows stands where the sum of a file would. A file that is there all the same counts for nothing.
var nobodyKnows = txnSeal{there: true}

// vouchedAborted is what the files of a segment say that it has aborted, if its offset index is one
// of the whole segment, and so vouches for them (any).
func (s *Segment) vouchedAborted() ([]batch.Aborted, error) {
	tail, ok := s.indexTail(math.MaxInt64)
	if !ok || s.base+int64(tail.last.relative)+1 != s.log.behindSegment(s) {
		return nil, fmt.Errorf("%w: there is no offset index of the whole segment that vouches for it", errIndex)
	}
	return s.readAborted(tail.txn)
}

// behindSegment is where the next segment begins, or the log ends (any).
func (l *Log) behindSegment(s *Segment) int64 {
	list := *l.segments.Load()
	i := sort.Search(len(list), func(i int) bool { return list[i].base > s.base })
	if i < len(list) {
		return list[i].base
	}
	return l.end.Load()
}

// readAborted reads the .txnindex file, which is believed as a whole, if it is the one that the offset
// index was written with.
func (s *Segment) readAborted(txn txnSeal) ([]batch.Aborted, error) {
	if txn == nobodyKnows {
		return nil, errUnknown
	}
	data, err := diskio.ReadFile(s.log.fs, s.path+txnSuffix)
	missing := errors.Is(err, os.ErrNotExist)
	switch {
	case missing && !txn.there:
		return nil, nil
	case err != nil:
		return nil, err
	}
	if err := txn.check(data); err != nil {
		return nil, err
	}
	return decodeAborted(data, s.base)
}

// check compares the content of a .txnindex file with what the .index file says of it.
func (t txnSeal) check(data []byte) error {
	if !t.there {
		return fmt.Errorf("%w: the offset index does not vouch for it", errIndex)
	}
	if sum := crc32.Checksum(data, castagnoli); sum != t.sum {
		return fmt.Errorf("%w: its checksum is %08x, and the offset index says %08x", errIndex, sum, t.sum)
	}
	return nil
}

// confirm looks whether the marker of a is there.
func (s *Segment) confirm(a batch.Aborted) error {
	agrees := false
	err := s.headers(a.Last, a.Last+1, func(b batch.Batch) error {
		if b.BaseOffset() == a.Last {
			m, ok := b.Marker()
			agrees = ok && !m.Commit && m.ProducerID == a.ProducerID
		}
		return nil
	})
	if err == nil && !agrees {
		err = fmt.Errorf("%w: at offset %d nothing aborts a transaction of producer %d", errIndex, a.Last, a.ProducerID)
	}
	return err
}

// aborting reports whether a marker in s aborts a transaction. Most logs have none.
func (s *Segment) aborting() (found bool, err error) {
	err = s.headers(s.base, s.log.end.Load(), func(b batch.Batch) error {
		m, ok := b.Marker()
		found = found || b.Control() && ok && !m.Commit
		return nil
	})
	return found, err
}

// searchAborted finds what s has aborted from the batches of the log (any).
func (l *Log) searchAborted(s *Segment) ([]batch.Aborted, error) {
	if some, err := s.aborting(); err != nil || !some {
		return nil, err
	}
	var found []batch.Aborted
	var t tracker
	for _, one := range *l.segments.Load() {
		if one.base > s.base || !one.retain() {
			continue
		}
		err := one.headers(one.base, l.end.Load(), func(b batch.Batch) error {
			if a, ok := t.add(b); ok && one == s {
				found = append(found, a)
			}
			return nil
		})
		one.Release()
		if err != nil {
			return nil, fmt.Errorf("search for aborted transactions: %w", err)
		}
	}
	return found, nil
}

// tracker follows the transactions of a log from batch to batch.
type tracker struct {
	open map[int64]int64 // producer to the first offset of its open transaction
}

// add takes the next batch, of a control batch all of it, and tells what it aborts.
func (t *tracker) add(b batch.Batch) (a batch.Aborted, ok bool) {
	id := b.ProducerID()
	first, open := t.open[id]
	switch {
	case b.Control():
		m, ok := b.Marker()
		if !ok || !open {
			return a, false
		}
		delete(t.open, id)
		a = batch.Aborted{ProducerID: id, First: first, Last: b.BaseOffset(), Stable: b.NextOffset()}
		for _, other := range t.open {
			a.Stable = min(a.Stable, other)
		}
		return a, !m.Commit
	case b.Transactional() && !open:
		if t.open == nil {
			t.open = map[int64]int64{}
		}
		t.open[id] = b.BaseOffset()
	}
	return a, false
}

// LooseAborted are the aborted transactions that no file vouches for yet: those of the active
// segment, and of segments that were rolled a moment ago. A snapshot of what was derived from
// the log must keep them.
func (l *Log) LooseAborted() (loose []batch.Aborted) {
	for _, s := range *l.segments.Load() {
		if t := s.aborted.Load(); t != nil && (s == l.active || !s.sealed.Load()) {
			loose = append(loose, t.view()...)
		}
	}
	return loose
}

// Recover tells the log, after Open and before anything is appended, of an aborted
// transaction that was found in a snapshot or in its batches, in the order of their markers.
// Those that an index has already are passed over.
func (l *Log) Recover(a batch.Aborted) {
	list := *l.segments.Load()
	i := sort.Search(len(list), func(i int) bool { return list[i].base > a.Last }) - 1
	if i < 0 || !list[i].gathering || a.Last >= l.end.Load() {
		return
	}
	s := list[i]
	if t := s.aborted.Load(); t != nil {
		if all := t.view(); len(all) > 0 && all[len(all)-1].Last >= a.Last {
			return
		}
	}
	s.addAborted(a)
}

// Recovered ends the calls of Recover: what was recovered gets its index files.
func (l *Log) Recovered() error {
	var errs []error
	for _, s := range *l.segments.Load() {
		if s.gathering && s.doubted {
			all, err := l.searchAborted(s)
			if err != nil {
				return err
			}
			s.setAborted(all)
		}
		if s.doubted = false; s.gathering && s != l.active {
			errs = append(errs, s.seal(s.ends))
		}
		s.gathering = false
	}
	return errors.Join(errs...)
}

// writeAborted writes the .txnindex file, if there is anything to write, and answers what the
// offset index has to say of it. The old one stays until the new one is whole: while a log is recovered
// nothing else may know what it has.
func (s *Segment) writeAborted() (txnSeal, error) {
	var all []batch.Aborted
	if t := s.aborted.Load(); t != nil {
		all = t.view()
	} else if found, err := s.vouchedAborted(); err == nil {
		all = found
	} else {
		// Who asks for it first looks in the batches. What file there is stays: until the offset index
		// is written it may be all that tells a start after a crash that something was aborted.
		return nobodyKnows, nil
	}
	if len(all) == 0 {
		return txnSeal{}, ignoreMissing(s.log.fs.Remove(s.path + txnSuffix))
	}
	data := encodeAborted(all)
	return txnSeal{true, crc32.Checksum(data, castagnoli)}, diskio.WriteFile(s.log.fs, s.path+txnSuffix, data)
}

// dumpAborted prints a .txnindex file.
func dumpAborted(all []batch.Aborted, print func(format string, args ...any)) {
	for _, a := range all {
		print("version: 0 producerId: %d firstOffset: %d lastOffset: %d lastStableOffset: %d\n", a.ProducerID, a.First, a.Last, a.Stable)
	}
}

// aborted compares the .txnindex file of a segment with its sum in the .index file, and with what the
// batches abort, of which the segment has last as its last.
func (v *verifier) aborted(base int64, found []batch.Aborted, last offsetEntry) error {
	name := segmentName(base) + txnSuffix
	index, err := diskio.ReadFile(v.fs, filepath.Join(v.dir, segmentName(base)+indexSuffix))
	if ignoreMissing(err) != nil {
		return err
	}
	entries, txn := splitIndex(index)
	vouched := bytes.HasSuffix(entries, encodeOffsets([]offsetEntry{last}))
	data, err := diskio.ReadFile(v.fs, filepath.Join(v.dir, name))
	missing := errors.Is(err, os.ErrNotExist)
	if err != nil && !missing {
		return err
	}
	var all []batch.Aborted
	switch {
	case !vouched && (missing || base == v.last), txn == nobodyKnows:
		return nil // what the file says, or would say, is made again
	case missing && txn.there:
		v.problem(name, -1, fmt.Errorf("%w: it is missing, and the offset index has its checksum, %08x", errIndex, txn.sum))
		return nil
	case vouched && txn.there:
		err = txn.check(data)
	}
	if err = ignoreMissing(err); err == nil && !missing {
		all, err = decodeAborted(data, base)
	}
	if err != nil {
		v.problem(name, -1, err)
		return nil
	}
	// What began in a segment that is gone began no later than the log does.
	same := slices.EqualFunc(all, found, func(a, b batch.Aborted) bool {
		return a.ProducerID == b.ProducerID && a.Last == b.Last && (a.First == b.First || a.First < v.first) && v.stable(a, b)
	})
	if !same && !v.covered(all, found) {
		v.problem(name, -1, fmt.Errorf("%w: it has %d aborted transactions, and the batches have %d: %v, %v", errIndex, len(all), len(found), all, found))
	}
	return nil
}

// stable reports whether an entry can have the last stable offset that it has, and not that of found. What
// was open behind its marker can have begun in a segment that is gone, and a cleaning takes away beginnings.
func (v *verifier) stable(a, found batch.Aborted) bool {
	return a.Stable == found.Stable || a.Stable < v.first || v.cleaned > 0 || len(v.empty) > 0
}

// covered reports whether all has everything in found that hides a record, and besides only what
// began before the first segment that is there, or where a cleaning has left no record. How
// far the log was cleaned stands in a file that a crash behind the swap leaves as it was.
func (v *verifier) covered(all, found []batch.Aborted) bool {
	for _, a := range all {
		for len(found) > 0 && found[0].Last < a.Last && v.hollow[found[0].Last] {
			found = found[1:]
		}
		switch {
		case len(found) > 0 && found[0].Last == a.Last && found[0].ProducerID == a.ProducerID && (found[0].First == a.First || a.First < v.first) && v.stable(a, found[0]):
			found = found[1:]
		case a.First >= v.first && a.Last >= v.cleaned && !v.isEmpty(a.First): // a cleaning drops what was aborted, and keeps the entry with the marker
			return false
		}
	}
	return !slices.ContainsFunc(found, func(a batch.Aborted) bool { return !v.hollow[a.Last] })
}

// follow notes what the next batch, of a control batch all of it, says of transactions.
func (v *verifier) follow(b batch.Batch) {
	id := b.ProducerID()
	switch {
	case b.Count() == 0:
		if n := len(v.empty); n > 0 && v.empty[n-1].end == b.BaseOffset() {
			v.empty[n-1].end = b.NextOffset()
		} else {
			v.empty = append(v.empty, offsets{b.BaseOffset(), b.NextOffset()})
		}
	case b.Transactional() && !b.Control():
		v.filled[id] = true
	}
	if a, ok := v.track.add(b); ok {
		v.ended = append(v.ended, a)
		v.hollow[a.Last] = !v.filled[id]
	}
	if b.Control() && b.Count() > 0 {
		delete(v.filled, id)
	}
}

// isEmpty reports whether a batch without records has taken the place of what was at offset.
func (v *verifier) isEmpty(offset int64) bool {
	i := sort.Search(len(v.empty), func(i int) bool { return v.empty[i].end > offset })
	return i < len(v.empty) && v.empty[i].base <= offset
}

// offsets are those from base on and below end.
type offsets struct{ base, end int64 }
