package wire

// Produce (key 0) as versions 3 to 13 have it: flexible from 9, topics by id from 13.
const (
	KeyProduce         = 0
	MinProduceVersion  = 3
	MaxProduceVersion  = 13
	ProduceFlexible    = 9
	ProduceTopicIDs    = 13
	produceLogStart    = 5
	produceErrorDetail = 8
)

// ProduceAdds is the version from which a broker adds the partitions of a transaction to it
// (KIP-890). Below, the producer has done that before.
const ProduceAdds = 12

// AppendProduce begins a Produce request, up to how many topics it has; transactional is the
// id of the producer, "" for one without. For each follows
// AppendProduceTopic, and AppendTags after its partitions; for each of those
// AppendProducePartition, the batch, and AppendTags. AppendTags ends the request.
func AppendProduce(p []byte, version int16, correlation int32, client, transactional string, acks int16, timeoutMillis int32, topics int) []byte {
	flexible := version >= ProduceFlexible
	p = AppendHeader(p, KeyProduce, version, correlation, client, flexible)
	switch {
	case transactional != "":
		p = AppendText(p, transactional, flexible)
	case flexible:
		p = append(p, 0) // null
	default:
		p = AppendInt16(p, -1)
	}
	p = AppendInt16(p, acks)
	p = AppendInt32(p, timeoutMillis)
	return AppendLength(p, topics, flexible)
}

// Topic is a topic as a request names it.
type Topic struct {
	Name string
	ID   [16]byte
}

// Append names the topic, by its id or its name.
func (t *Topic) Append(p []byte, byID, flexible bool) []byte {
	if byID {
		return append(p, t.ID[:]...)
	}
	return AppendText(p, t.Name, flexible)
}

// AppendProduceTopic begins a topic of a Produce request with so many partitions.
func AppendProduceTopic(p []byte, version int16, topic *Topic, partitions int) []byte {
	p = topic.Append(p, version >= ProduceTopicIDs, version >= ProduceFlexible)
	return AppendLength(p, partitions, version >= ProduceFlexible)
}

// AppendProducePartition begins a partition of a Produce request; size bytes of batch
// follow.
func AppendProducePartition(p []byte, version int16, partition int32, size int) []byte {
	p = AppendInt32(p, partition)
	return AppendLength(p, size, version >= ProduceFlexible)
}

// Produced is what the broker says about one batch.
type Produced struct {
	Topic      []byte // by name; points into the response
	Partition  int32
	Code       int16
	Base       int64 // offset of the first record; −1 on error
	AppendTime int64 // milliseconds; −1: records keep their own
	LogStart   int64 // −1: not known
	Message    []byte
}

// ReadProduce reads a Produce response without its correlation id and appends what it says
// of each batch to into.
//
// Ownership: names and messages of what is answered point into p.
func ReadProduce(p []byte, version int16, into []Produced) ([]Produced, error) {
	flexible := version >= ProduceFlexible
	r := NewReader(p)
	r.Tags(flexible) // of the response header
	for topics := r.Length(flexible); topics > 0 && !r.failed; topics-- {
		var topic []byte
		if version >= ProduceTopicIDs {
			r.Take(16)
		} else {
			topic = r.Text(flexible)
		}
		for partitions := r.Length(flexible); partitions > 0 && !r.failed; partitions-- {
			into = append(into, readProduced(&r, topic, version, flexible))
		}
		r.Tags(flexible)
	}
	r.Int32() // throttle time
	r.Tags(flexible)
	return into, r.End()
}

func readProduced(r *Reader, topic []byte, version int16, flexible bool) Produced {
	one := Produced{Topic: topic, Partition: r.Int32(), Code: r.Int16(), Base: r.Int64(), AppendTime: r.Int64(), LogStart: -1}
	if version >= produceLogStart {
		one.LogStart = r.Int64()
	}
	if version >= produceErrorDetail {
		for errs := r.Length(flexible); errs > 0 && !r.failed; errs-- {
			r.Int32()
			r.Text(flexible)
			r.Tags(flexible)
		}
		one.Message = r.Text(flexible)
	}
	r.Tags(flexible)
	return one
}
