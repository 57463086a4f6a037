package api

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/label"
	"github.com/millrace/millrace/engine/wire"
	"github.com/millrace/millrace/netpoll"
)

var errUnsupportedVersion = errors.New("this version is not served; ask with ApiVersions which are")

// entry is one API key: the versions that are advertised and how a request is served.
type entry struct {
	key      int16
	name     string
	min, max int16 // advertised
	served   int16 // the first version that is really served
	flexible int16 // first version with tagged fields; −1: none
	labels   context.Context
	// holds says that the connection's next request waits for the answer: see changes and large.
	holds bool
	// beside says which requests do not wait for it. Nil: all do.
	beside func(frame []byte) bool
	// serve answers. An error means that the request cannot be read: the connection is
	// closed. Ownership: frame belongs to serve.
	serve func(c call, frame *netpoll.Frame, body []byte) error
}

// table is every key that is served, with Kafka 4.4's versions. Nothing is in it that
// does not work.
func table() (t [128]*entry) {
	for _, e := range []*entry{
		{key: 0, name: "Produce", min: 0, max: 13, served: 3, flexible: 9, serve: produce},
		{key: 1, name: "Fetch", min: 4, max: 18, served: 4, flexible: 12, serve: fetch},
		handle(2, 1, 11, listOffsets),
		handle(3, 0, 13, metadata),
		commits(handle(8, 2, 10, offsetCommit)),
		large(handle(9, 1, 10, offsetFetch)),
		handle(10, 0, 6, findCoordinator),
		handle(11, 0, 9, joinGroup),
		handle(12, 0, 4, heartbeat),
		changes(handle(13, 0, 5, leaveGroup)),
		handle(14, 0, 5, syncGroup),
		large(handle(15, 0, 6, describeGroups)),
		large(handle(16, 0, 5, listGroups)),
		handle(17, 0, 1, saslHandshake),
		handle(18, 0, 5, apiVersions),
		changes(handle(19, 2, 7, createTopics)),
		changes(handle(20, 1, 6, deleteTopics)),
		changes(handle(21, 0, 2, deleteRecords)),
		handle(22, 0, 5, initProducerID),
		handle(23, 2, 4, offsetForLeaderEpoch),
		changes(handle(24, 0, 5, addPartitionsToTxn)),
		changes(handle(25, 0, 4, addOffsetsToTxn)),
		changes(handle(26, 0, 5, endTxn)),
		changes(handle(27, 1, 2, writeTxnMarkers)),
		commits(handle(28, 0, 6, txnOffsetCommit)),
		handle(29, 1, 3, describeACLs),
		changes(handle(30, 1, 3, createACLs)),
		changes(handle(31, 1, 3, deleteACLs)),
		handle(32, 1, 4, describeConfigs),
		changes(handle(33, 0, 2, alterConfigs)),
		large(handle(35, 1, 5, describeLogDirs)),
		handle(36, 0, 2, saslAuthenticate),
		changes(handle(37, 0, 3, createPartitions)),
		changes(handle(42, 0, 3, deleteGroups)),
		changes(handle(43, 0, 2, electLeaders)),
		changes(handle(44, 0, 1, incrementalAlterConfigs)),
		changes(handle(45, 0, 1, alterPartitionReassignments)),
		handle(46, 0, 0, listPartitionReassignments),
		changes(handle(47, 0, 0, offsetDelete)),
		handle(48, 0, 1, describeClientQuotas),
		handle(50, 0, 0, describeUserScramCredentials),
		changes(handle(51, 0, 0, alterUserScramCredentials)),
		handle(55, 0, 2, describeQuorum),
		changes(handle(57, 0, 2, updateFeatures)),
		handle(60, 0, 2, describeCluster),
		large(handle(61, 0, 0, describeProducers)),
		changes(handle(64, 0, 0, unregisterBroker)),
		large(handle(65, 0, 0, describeTransactions)),
		large(handle(66, 0, 2, listTransactions)),
		changes(handle(68, 0, 1, consumerGroupHeartbeat)),
		large(handle(69, 0, 1, consumerGroupDescribe)),
		handle(74, 0, 1, listConfigResources),
		handle(75, 0, 0, describeTopicPartitions),
		handle(80, 0, 1, addRaftVoter),
		handle(81, 0, 0, removeRaftVoter),
	} {
		e.labels = label.Of("api", e.name)
		t[e.key] = e
	}
	return t
}

// request is a kmsg request type *Q.
type request[Q any] interface {
	*Q
	kmsg.Request
	Default()
}

// response is a kmsg response type *A.
type response[A any] interface {
	*A
	kmsg.Response
	Default()
}

// handle makes the entry of a key whose requests kmsg decodes.
func handle[Q, A any, PQ request[Q], PA response[A]](key, min, max int16, answer func(c *call, q PQ, a PA)) *entry {
	e := &entry{key: key, name: kmsg.NameForKey(key), min: min, max: max, served: min, flexible: flexibleSince(key)}
	shapes := make([]atomic.Pointer[wire.Shape], max+1)
	e.serve = func(c call, frame *netpoll.Frame, body []byte) error {
		// What a request says of its own lengths is checked before memory is taken for it.
		shape := shapes[c.version].Load()
		if shape == nil {
			shape = wire.ShapeOf(PQ(new(Q)), c.version)
			shapes[c.version].Store(shape)
		}
		if err := shape.Check(body); err != nil {
			frame.Release()
			return err
		}
		// kmsg leaves byte fields in the buffer that it decodes, and the answer may come
		// after the frame is gone.
		body = bytes.Clone(body)
		frame.Release()
		q, a := PQ(new(Q)), PA(new(A))
		q.SetVersion(c.version)
		if err := q.ReadFrom(body); err != nil {
			return err
		}
		a.Default()
		answer(&c, q, a)
		return nil
	}
	return e
}

// changes makes the entry one whose requests are answered before the next is looked at. Produce is not: a
// producer has many on their way, and the partitions keep their order.
func changes(e *entry) *entry {
	e.holds = true
	return e
}

// large makes the entry one whose requests are answered before the next is looked at, because somebody else answers,
// and with more than was asked: until then nobody knows how much of a connection's memory is spent. Thirty bytes may
// have twenty megabytes of answer, and sixty-four of them come with one read.
func large(e *entry) *entry {
	e.holds = true
	return e
}

// commits makes the entry one that changes, whose requests do not wait for each other: a consumer that
// commits again and again without waiting shares syncs with itself, and the coordinator keeps their order.
func commits(e *entry) *entry {
	e.beside = func(frame []byte) bool { return len(frame) >= 2 && int16(binary.BigEndian.Uint16(frame)) == e.key }
	return changes(e)
}

// flexibleSince asks kmsg from which version on requests of a key are flexible.
func flexibleSince(key int16) int16 {
	q := kmsg.RequestForKey(key)
	for v := int16(0); v <= q.MaxVersion(); v++ {
		q.SetVersion(v)
		if q.IsFlexible() {
			return v
		}
	}
	return -1
}
