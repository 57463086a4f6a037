package wire

// Produce is a produce request, versions 0 to 13. Versions below 3 carry records of the
// old formats; they are read so that they can be refused in their own form.
type Produce struct {
	Version       int16
	Transactional []byte // transactional id; nil: none
	Acks          int16
	TimeoutMillis int32
	Topics        []ProduceTopic
	Partitions    []ProducePartition // of all topics, in order
}

// ProduceTopic is one topic of a request: a name up to version 12, an id from 13 on.
type ProduceTopic struct {
	Name []byte // points into the frame
	ID   [16]byte
	End  int // its partitions end here in Produce.Partitions and begin where the topic before ends
}

// ProducePartition is what is sent to one partition.
type ProducePartition struct {
	Index   int32
	Records []byte // points into the frame; nil: null
}

// Parse reads the body of a request. The slices of p are used again.
func (p *Produce) Parse(version int16, body []byte) error {
	r := reader{rest: body, flex: version >= 9}
	p.Version = version
	p.Topics, p.Partitions = p.Topics[:0], p.Partitions[:0]
	p.Transactional = nil
	if version >= 3 {
		p.Transactional, _ = r.string()
	}
	p.Acks = r.int16()
	p.TimeoutMillis = r.int32()
	for range r.count(3) {
		p.topic(&r)
		if r.failed {
			break
		}
	}
	r.tags(nil)
	return r.end()
}

func (p *Produce) topic(r *reader) {
	var t ProduceTopic
	if p.Version >= 13 {
		t.ID = r.uuid()
	} else {
		t.Name = r.name()
	}
	for range r.count(5) {
		index := r.int32()
		records, _ := r.blob()
		r.tags(nil)
		if r.failed {
			return
		}
		p.Partitions = append(p.Partitions, ProducePartition{index, records})
	}
	r.tags(nil)
	t.End = len(p.Partitions)
	p.Topics = append(p.Topics, t)
}

// ProduceResult answers for one partition, in the order of Produce.Partitions.
type ProduceResult struct {
	Error         int16
	Base          int64  // offset of the first record; −1 on error
	LogAppendTime int64  // milliseconds; −1 when records keep the producer's time
	LogStart      int64  // −1 on error
	Message       string // what is wrong; empty: null
	Leader        Leader // told when Error sends the client elsewhere and Redirect is set
	Redirect      bool
	Records       []RecordError // those for which the batch was refused
}

// RecordError is what is wrong with one record of a batch (KIP-467).
type RecordError struct {
	Index   int32 // in the batch
	Message string
}

// AppendProduce appends the body of the response to p. The throttle time is how long the client should
// leave the connection alone (KIP-219). Nodes are told when a result redirects.
func (p *Produce) AppendProduce(dst []byte, results []ProduceResult, throttleMillis int32, nodes []Node) []byte {
	w := writer{p: dst, flex: p.Version >= 9}
	w.count(len(p.Topics))
	begin, redirects := 0, false
	for i := range p.Topics {
		t := &p.Topics[i]
		if p.Version >= 13 {
			w.p = append(w.p, t.ID[:]...)
		} else {
			w.string(t.Name)
		}
		w.count(t.End - begin)
		for j := begin; j < t.End; j++ {
			redirects = p.result(&w, p.Partitions[j].Index, &results[j]) || redirects
		}
		begin = t.End
		w.tags(0)
	}
	if p.Version >= 1 {
		w.int32(throttleMillis)
	}
	if redirects {
		w.tags(1)
		w.nodesTag(nodes)
	} else {
		w.tags(0)
	}
	return w.p
}

func (p *Produce) result(w *writer, index int32, r *ProduceResult) (redirects bool) {
	w.int32(index)
	w.int16(r.Error)
	w.int64(r.Base)
	if p.Version >= 2 {
		w.int64(r.LogAppendTime)
	}
	if p.Version >= 5 {
		w.int64(r.LogStart)
	}
	if p.Version >= 8 {
		w.count(len(r.Records))
		for i := range r.Records {
			w.int32(r.Records[i].Index)
			w.nullString(r.Records[i].Message)
			w.tags(0)
		}
		w.nullString(r.Message)
	}
	if r.Redirect && p.Version >= 10 {
		w.tags(1)
		w.leaderTag(0, r.Leader)
		return true
	}
	w.tags(0)
	return false
}
