package loadgen

// Produce (key 0) as versions 3 to 13 have it: flexible from 9, topics by id from 13.
const (
	keyProduce         = 0
	maxProduceVersion  = 13
	minProduceVersion  = 3
	produceFlexible    = 9
	produceTopicIDs    = 13
	produceTimeoutMS   = 30000
	produceLogStart    = 5
	produceErrorDetail = 8
)

// topicName is a topic as a request names it.
type topicName struct {
	name string
	id   [16]byte
}

func (t *topicName) append(p []byte, byID, flexible bool) []byte {
	if byID {
		return append(p, t.id[:]...)
	}
	return appendText(p, t.name, flexible)
}

// appendProduce begins a Produce request of so many batches, all for one topic. The
// caller appends each with appendPartition and ends with appendProduceEnd.
func appendProduce(p []byte, version int16, correlation int32, acks int16, topic *topicName, batches int) []byte {
	flexible := version >= produceFlexible
	p = appendHeader(p, keyProduce, version, correlation, flexible)
	if flexible {
		p = append(p, 0) // transactional id: null
	} else {
		p = appendInt16(p, -1)
	}
	p = appendInt16(p, acks)
	p = appendInt32(p, produceTimeoutMS)
	p = appendLength(p, 1, flexible)
	p = topic.append(p, version >= produceTopicIDs, flexible)
	return appendLength(p, batches, flexible)
}

// appendPartition begins one partition of a Produce request; size bytes of batch follow,
// then appendTags.
func appendPartition(p []byte, version int16, partition int32, size int) []byte {
	p = appendInt32(p, partition)
	return appendLength(p, size, version >= produceFlexible)
}

func appendProduceEnd(p []byte, version int16) []byte {
	flexible := version >= produceFlexible
	return appendTags(appendTags(p, flexible), flexible)
}

// produced is what the broker says about one batch.
type produced struct {
	partition int32
	code      int16
	base      int64
}

// readProduce reads a Produce response without its correlation id and appends what it
// says of each batch to into.
func readProduce(p []byte, version int16, into []produced) ([]produced, error) {
	flexible := version >= produceFlexible
	r := reader{p: p}
	r.tags(flexible) // of the response header
	for topics := r.length(flexible); topics > 0 && !r.bad; topics-- {
		if version >= produceTopicIDs {
			r.take(16)
		} else {
			r.text(flexible)
		}
		for partitions := r.length(flexible); partitions > 0 && !r.bad; partitions-- {
			into = append(into, readProduced(&r, version, flexible))
		}
		r.tags(flexible)
	}
	r.int32() // throttle time
	r.tags(flexible)
	if r.bad || len(r.p) > 0 {
		return into, errMalformed
	}
	return into, nil
}

func readProduced(r *reader, version int16, flexible bool) produced {
	one := produced{partition: r.int32(), code: r.int16(), base: r.int64()}
	r.int64() // log append time
	if version >= produceLogStart {
		r.int64()
	}
	if version >= produceErrorDetail {
		for errs := r.length(flexible); errs > 0 && !r.bad; errs-- {
			r.int32()
			r.text(flexible)
			r.tags(flexible)
		}
		r.text(flexible)
	}
	r.tags(flexible)
	return one
}
