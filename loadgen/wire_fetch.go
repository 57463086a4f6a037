package loadgen

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
func appendFetch(p []byte, version int16, correlation int32, l fetchLimits, session, epoch int32, topic *topicName, positions []position) []byte {
	flexible := version >= fetchFlexible
	p = appendHeader(p, keyFetch, version, correlation, flexible)
	if version < fetchNoReplicaID {
		p = appendInt32(p, -1)
	}
	p = appendInt32(p, l.wait)
	p = appendInt32(p, l.minBytes)
	p = appendInt32(p, l.maxBytes)
	p = append(p, 0) // read uncommitted
	if version >= fetchSessions {
		p = appendInt32(p, session)
		p = appendInt32(p, epoch)
	}
	if len(positions) == 0 {
		p = appendLength(p, 0, flexible)
	} else {
		p = appendLength(p, 1, flexible)
		p = topic.append(p, version >= fetchTopicIDs, flexible)
		p = appendLength(p, len(positions), flexible)
		for i := range positions {
			p = appendPosition(p, version, &positions[i], l.partitionBytes)
		}
		p = appendTags(p, flexible)
	}
	if version >= fetchSessions {
		p = appendLength(p, 0, flexible) // forgotten topics
	}
	if version >= fetchReplica {
		p = appendText(p, "", flexible) // rack
	}
	return appendTags(p, flexible)
}

func appendPosition(p []byte, version int16, at *position, partitionBytes int32) []byte {
	p = appendInt32(p, at.partition)
	if version >= fetchLeaderEpoch {
		p = appendInt32(p, -1)
	}
	p = appendInt64(p, at.offset)
	if version >= fetchFlexible {
		p = appendInt32(p, -1) // last fetched epoch
	}
	if version >= fetchLogStart {
		p = appendInt64(p, -1)
	}
	p = appendInt32(p, partitionBytes)
	return appendTags(p, version >= fetchFlexible)
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
	r := reader{p: p}
	r.tags(flexible)
	r.int32() // throttle time
	if version >= fetchSessions {
		head = fetchHead{code: r.int16(), session: r.int32()}
	}
	for topics := r.length(flexible); topics > 0 && !r.bad; topics-- {
		if version >= fetchTopicIDs {
			r.take(16)
		} else {
			r.text(flexible)
		}
		for partitions := r.length(flexible); partitions > 0 && !r.bad; partitions-- {
			into = append(into, readFetched(&r, version, flexible))
		}
		r.tags(flexible)
	}
	r.tags(flexible)
	if r.bad || len(r.p) > 0 {
		return head, into, errMalformed
	}
	return head, into, nil
}

func readFetched(r *reader, version int16, flexible bool) fetched {
	one := fetched{partition: r.int32(), code: r.int16(), highWatermark: r.int64()}
	r.int64() // last stable offset
	if version >= fetchLogStart {
		r.int64()
	}
	for aborted := r.length(flexible); aborted > 0 && !r.bad; aborted-- {
		r.int64()
		r.int64()
		r.tags(flexible)
	}
	if version >= fetchReplica {
		r.int32() // preferred read replica
	}
	one.records = r.bytes(flexible)
	r.tags(flexible)
	return one
}
