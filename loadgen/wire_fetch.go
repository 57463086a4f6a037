package loadgen

import "github.com/millrace/millrace/sdk/wire"

// Fetch (key 1) as versions 4 to 16 have it: sessions from 7, flexible from 12, topics
// by id from 13.
const (
	keyFetch         = 1
	minFetchVersion  = 4
	maxFetchVersion  = 16
	fetchLogStart    = 5
	fetchSessions    = 7
	fetchLeaderEpoch = 9
	fetchReplica     = 11
	fetchFlexible    = 12
	fetchTopicIDs    = 13
	fetchNoReplicaID = 15
)

// fetchLimits are the bounds that a Fetch request carries.
type fetchLimits struct {
	wait           int32 // milliseconds
	minBytes       int32
	maxBytes       int32
	partitionBytes int32
}

// position is a partition of a Fetch request and where to read on.
type position struct {
	partition int32
	offset    int64
}

// appendFetch writes a Fetch request for partitions of one topic. None at all is allowed
// within a session: what it already has stays.
func appendFetch(p []byte, version int16, correlation int32, l fetchLimits, session, epoch int32, topic *wire.Topic, positions []position) []byte {
	flexible := version >= fetchFlexible
	p = wire.AppendHeader(p, keyFetch, version, correlation, clientID, flexible)
	if version < fetchNoReplicaID {
		p = wire.AppendInt32(p, -1)
	}
	p = wire.AppendInt32(p, l.wait)
	p = wire.AppendInt32(p, l.minBytes)
	p = wire.AppendInt32(p, l.maxBytes)
	p = append(p, 0) // read uncommitted
	if version >= fetchSessions {
		p = wire.AppendInt32(p, session)
		p = wire.AppendInt32(p, epoch)
	}
	if len(positions) == 0 {
		p = wire.AppendLength(p, 0, flexible)
	} else {
		p = wire.AppendLength(p, 1, flexible)
		p = topic.Append(p, version >= fetchTopicIDs, flexible)
		p = wire.AppendLength(p, len(positions), flexible)
		for i := range positions {
			p = appendPosition(p, version, &positions[i], l.partitionBytes)
		}
		p = wire.AppendTags(p, flexible)
	}
	if version >= fetchSessions {
		p = wire.AppendLength(p, 0, flexible) // forgotten topics
	}
	if version >= fetchReplica {
		p = wire.AppendText(p, "", flexible) // rack
	}
	return wire.AppendTags(p, flexible)
}

func appendPosition(p []byte, version int16, at *position, partitionBytes int32) []byte {
	p = wire.AppendInt32(p, at.partition)
	if version >= fetchLeaderEpoch {
		p = wire.AppendInt32(p, -1)
	}
	p = wire.AppendInt64(p, at.offset)
	if version >= fetchFlexible {
		p = wire.AppendInt32(p, -1) // last fetched epoch
	}
	if version >= fetchLogStart {
		p = wire.AppendInt64(p, -1)
	}
	p = wire.AppendInt32(p, partitionBytes)
	return wire.AppendTags(p, version >= fetchFlexible)
}

// fetched is what a Fetch response says about one partition. Records points into the
// response.
type fetched struct {
	partition     int32
	code          int16
	highWatermark int64
	records       []byte
}

// fetchHead is what a Fetch response says about the whole request.
type fetchHead struct {
	code    int16
	session int32
}

// readFetch reads a Fetch response without its correlation id and appends what it says
// of each partition to into.
//
// Ownership: the records of into point into p.
func readFetch(p []byte, version int16, into []fetched) (head fetchHead, out []fetched, err error) {
	flexible := version >= fetchFlexible
	r := wire.NewReader(p)
	r.Tags(flexible)
	r.Int32() // throttle time
	if version >= fetchSessions {
		head = fetchHead{code: r.Int16(), session: r.Int32()}
	}
	for topics := r.Length(flexible); topics > 0 && !r.Failed(); topics-- {
		if version >= fetchTopicIDs {
			r.Take(16)
		} else {
			r.Text(flexible)
		}
		for partitions := r.Length(flexible); partitions > 0 && !r.Failed(); partitions-- {
			into = append(into, readFetched(&r, version, flexible))
		}
		r.Tags(flexible)
	}
	r.Tags(flexible)
	return head, into, r.End()
}

func readFetched(r *wire.Reader, version int16, flexible bool) fetched {
	one := fetched{partition: r.Int32(), code: r.Int16(), highWatermark: r.Int64()}
	r.Int64() // last stable offset
	if version >= fetchLogStart {
		r.Int64()
	}
	for aborted := r.Length(flexible); aborted > 0 && !r.Failed(); aborted-- {
		r.Int64()
		r.Int64()
		r.Tags(flexible)
	}
	if version >= fetchReplica {
		r.Int32() // preferred read replica
	}
	one.records = r.Bytes(flexible)
	r.Tags(flexible)
	return one
}
