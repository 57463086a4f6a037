package wire

import (
	"math"

	"github.com/millrace/millrace/sdk/batch"
)

// Fetch is a fetch request, versions 4 to 18.
type Fetch struct {
	Version       int16
	ReplicaID     int32 // −1: a consumer
	MaxWaitMillis int32
	MinBytes      int32
	MaxBytes      int32
	ReadCommitted bool
	SessionID     int32
	SessionEpoch  int32
	Topics        []FetchTopic
	Partitions    []FetchPartition // of all topics, in order
	Forgotten     []ForgottenTopic
	forgotten     []int32
}

// FetchTopic is one topic of a request: a name up to version 12, an id from 13 on.
type FetchTopic struct {
	Name []byte // points into the frame
	ID   [16]byte
	End  int // as in ProduceTopic
}

// FetchPartition is where to read in one partition.
type FetchPartition struct {
	Index       int32
	LeaderEpoch int32 // that the client knows; −1: none
	Offset      int64
	MaxBytes    int32
}

// ForgottenTopic are partitions that a session need not tell of any more (KIP-227).
type ForgottenTopic struct {
	Name       []byte
	ID         [16]byte
	Partitions []int32
}

// Parse reads the body of a request. The slices of f are used again.
func (f *Fetch) Parse(version int16, body []byte) error {
	r := reader{rest: body, flex: version >= 12}
	f.Version = version
	f.Topics, f.Partitions = f.Topics[:0], f.Partitions[:0]
	f.Forgotten, f.forgotten = f.Forgotten[:0], f.forgotten[:0]
	f.ReplicaID, f.SessionID, f.SessionEpoch = -1, 0, -1
	if version <= 14 {
		f.ReplicaID = r.int32()
	}
	f.MaxWaitMillis, f.MinBytes, f.MaxBytes = r.int32(), r.int32(), r.int32()
	f.ReadCommitted = r.int8() == 1
	if version >= 7 {
		f.SessionID, f.SessionEpoch = r.int32(), r.int32()
	}
	for range r.count(3) {
		f.topic(&r)
		if r.failed {
			break
		}
	}
	f.tail(&r)
	return r.end()
}

// Empty forgets what the request names, once that was taken over: nothing of f points into the frame any more. Lists
// with room for more than keep go, the others are used again.
func (f *Fetch) Empty(keep int) {
	f.Topics, f.Partitions, f.Forgotten, f.forgotten = f.Topics[:0], f.Partitions[:0], f.Forgotten[:0], f.forgotten[:0]
	if max(cap(f.Topics), cap(f.Partitions), cap(f.Forgotten), cap(f.forgotten)) > keep {
		f.Topics, f.Partitions, f.Forgotten, f.forgotten = nil, nil, nil, nil
	}
}

func (f *Fetch) tail(r *reader) {
	if f.Version >= 7 {
		for range r.count(3) {
			f.forget(r)
			if r.failed {
				return
			}
		}
	}
	if f.Version >= 11 {
		r.string() // rack id: one node has no replica that is nearer
	}
	r.tags(func(tag uint32, value []byte) {
		if tag == 1 && f.Version >= 15 { // replica state
			inner := reader{rest: value, flex: true}
			f.ReplicaID = inner.int32()
			inner.int64() // replica epoch
			inner.tags(nil)
			if inner.end() != nil {
				r.fail()
			}
		}
	})
}

func (f *Fetch) topic(r *reader) {
	var t FetchTopic
	if f.Version >= 13 {
		t.ID = r.uuid()
	} else {
		t.Name = r.name()
	}
	for range r.count(16) {
		p := FetchPartition{Index: r.int32(), LeaderEpoch: -1}
		if f.Version >= 9 {
			p.LeaderEpoch = r.int32()
		}
		p.Offset = r.int64()
		if f.Version >= 12 {
			r.int32() // last fetched epoch: followers only
		}
		if f.Version >= 5 {
			r.int64() // log start offset: followers only
		}
		p.MaxBytes = r.int32()
		r.tags(nil)
		if r.failed {
			return
		}
		f.Partitions = append(f.Partitions, p)
	}
	r.tags(nil)
	t.End = len(f.Partitions)
	f.Topics = append(f.Topics, t)
}

func (f *Fetch) forget(r *reader) {
	var t ForgottenTopic
	if f.Version >= 13 {
		t.ID = r.uuid()
	} else {
		t.Name = r.name()
	}
	begin := len(f.forgotten)
	for range r.count(4) {
		f.forgotten = append(f.forgotten, r.int32())
	}
	r.tags(nil)
	t.Partitions = f.forgotten[begin:len(f.forgotten):len(f.forgotten)]
	f.Forgotten = append(f.Forgotten, t)
}

// FetchHead is what a fetch response begins with.
type FetchHead struct {
	Error     int16
	SessionID int32
	Topics    int // how many follow
}

// FetchResult is what a response says of one partition. The records follow it on the
// wire and are not part of it.
type FetchResult struct {
	Index         int32
	Error         int16
	HighWatermark int64
	LastStable    int64
	LogStart      int64
	// Aborted are the transactions that a reader of committed records leaves out; ReadCommitted
	// says that this is one.
	Aborted       []batch.Aborted
	ReadCommitted bool
	RecordBytes   int
	Leader        Leader // told when Error sends the client elsewhere and Redirect is set
	Redirect      bool
}

// A fetch response of version 12 or later closes each partition with its tagged fields,
// behind the records, so writing goes in this order: AppendFetchHead, then for each topic
// AppendFetchTopic and for each partition AppendFetchResult, records, AppendFetchResultEnd;
// AppendFetchTopicEnd; at last AppendFetchEnd.

// AppendFetchHead begins the body of a response.
func AppendFetchHead(p []byte, version int16, h FetchHead) []byte {
	w := writer{p: p, flex: version >= 12}
	w.int32(0) // throttle time
	if version >= 7 {
		w.int16(h.Error)
		w.int32(h.SessionID)
	}
	w.count(h.Topics)
	return w.p
}

// AppendFetchTopic begins a topic of partitions many partitions.
func AppendFetchTopic(p []byte, version int16, name string, id [16]byte, partitions int) []byte {
	w := writer{p: p, flex: version >= 12}
	if version >= 13 {
		w.p = append(w.p, id[:]...)
	} else {
		if w.flex {
			w.uvarint(len(name) + 1)
		} else {
			w.int16(int16(len(name)))
		}
		w.p = append(w.p, name...)
	}
	w.count(partitions)
	return w.p
}

// AppendFetchResult appends what comes before the records of one partition.
func AppendFetchResult(p []byte, version int16, r *FetchResult) []byte {
	w := writer{p: p, flex: version >= 12}
	w.int32(r.Index)
	w.int16(r.Error)
	w.int64(r.HighWatermark)
	w.int64(r.LastStable)
	if version >= 5 {
		w.int64(r.LogStart)
	}
	if !r.ReadCommitted {
		w.count(-1) // aborted transactions: null
	} else {
		w.count(len(r.Aborted))
		for i := range r.Aborted {
			w.int64(r.Aborted[i].ProducerID)
			w.int64(r.Aborted[i].First)
			w.tags(0)
		}
	}
	if version >= 11 {
		w.int32(-1) // preferred read replica: this one
	}
	if w.flex {
		w.uvarint(r.RecordBytes + 1)
	} else {
		w.int32(int32(min(r.RecordBytes, math.MaxInt32)))
	}
	return w.p
}

// AppendFetchResultEnd appends what comes behind the records of one partition.
func AppendFetchResultEnd(p []byte, version int16, r *FetchResult) []byte {
	w := writer{p: p, flex: version >= 12}
	if r.Redirect && version >= 12 {
		w.tags(1)
		w.leaderTag(1, r.Leader)
	} else {
		w.tags(0)
	}
	return w.p
}

// AppendFetchTopicEnd ends a topic.
func AppendFetchTopicEnd(p []byte, version int16) []byte {
	w := writer{p: p, flex: version >= 12}
	w.tags(0)
	return w.p
}

// AppendFetchEnd ends the response. Nodes are told from version 16 on when there are any.
func AppendFetchEnd(p []byte, version int16, nodes []Node) []byte {
	w := writer{p: p, flex: version >= 12}
	if version >= 16 && len(nodes) > 0 {
		w.tags(1)
		w.nodesTag(nodes)
	} else {
		w.tags(0)
	}
	return w.p
}
