package message

import (
	"maps"
	"slices"

	"github.com/millrace/millrace/plugins/wasm/abi"
	"github.com/millrace/millrace/sdk"
)

// AppendGroup appends the members of a group and the topics that they know.
func AppendGroup(dst []byte, members []sdk.GroupMember, partitions map[string]int32) []byte {
	for _, n := range []uint32{abi.GroupMagic, abi.GroupSize, uint32(len(members)), uint32(len(partitions))} {
		dst = abi.AppendU32(dst, n)
	}
	for i := range members {
		m := &members[i]
		dst = abi.AppendText(abi.AppendText(abi.AppendText(dst, m.ID), m.InstanceID), m.Rack)
		dst = abi.AppendU32(dst, uint32(m.Generation))
		dst = AppendMember(dst, m.Topics, m.Owned)
		dst = abi.AppendBytes(dst, m.UserData)
	}
	for _, topic := range slices.Sorted(maps.Keys(partitions)) {
		dst = abi.AppendU32(abi.AppendText(dst, topic), uint32(partitions[topic]))
	}
	return dst
}

// AppendMember appends what a member says about itself.
func AppendMember(dst []byte, topics []string, owned []sdk.TopicPartition) []byte {
	dst = abi.AppendU32(dst, uint32(len(topics)))
	for _, topic := range topics {
		dst = abi.AppendText(dst, topic)
	}
	return appendPartitions(dst, owned)
}

func appendPartitions(dst []byte, list []sdk.TopicPartition) []byte {
	dst = abi.AppendU32(dst, uint32(len(list)))
	for _, tp := range list {
		dst = abi.AppendU32(abi.AppendText(dst, tp.Topic), uint32(tp.Partition))
	}
	return dst
}

// ReadMember reads what AppendMember wrote.
func ReadMember(bytes []byte) (topics []string, owned []sdk.TopicPartition, err error) {
	r := abi.NewReader(bytes)
	topics, owned = readMember(r)
	if r.Bad || r.Len() != 0 {
		return nil, nil, ErrMalformed
	}
	return topics, owned, nil
}

func readMember(r *abi.Reader) (topics []string, owned []sdk.TopicPartition) {
	for range r.Count(4) {
		topics = append(topics, r.Text())
	}
	return topics, readPartitions(r)
}

func readPartitions(r *abi.Reader) (list []sdk.TopicPartition) {
	for range r.Count(8) {
		list = append(list, sdk.TopicPartition{Topic: r.Text(), Partition: int32(r.U32())})
	}
	return list
}

// ReadGroup reads what AppendGroup wrote.
func ReadGroup(bytes []byte) (members []sdk.GroupMember, partitions map[string]int32, err error) {
	head, r := abi.Open(bytes, abi.GroupMagic, abi.GroupSize)
	count, topics := head.U32(), head.U32()
	partitions = make(map[string]int32)
	for range count {
		m := sdk.GroupMember{ID: r.Text(), InstanceID: r.Text(), Rack: r.Text(), Generation: int32(r.U32())}
		m.Topics, m.Owned = readMember(r)
		m.UserData = r.Bytes()
		if head.Bad || r.Bad {
			return nil, nil, ErrMalformed
		}
		members = append(members, m)
	}
	for range topics {
		topic := r.Text()
		partitions[topic] = int32(r.U32())
		if head.Bad || r.Bad {
			return nil, nil, ErrMalformed
		}
	}
	if head.Bad || r.Bad || r.Len() != 0 {
		return nil, nil, ErrMalformed
	}
	return members, partitions, nil
}

// AppendDealt appends who gets which partitions.
func AppendDealt(dst []byte, dealt map[string][]sdk.TopicPartition) []byte {
	dst = abi.AppendU32(abi.AppendU32(dst, abi.DealtMagic), uint32(len(dealt)))
	for _, id := range slices.Sorted(maps.Keys(dealt)) {
		dst = appendPartitions(abi.AppendText(dst, id), dealt[id])
	}
	return dst
}

// ReadDealt reads who gets which partitions. A member that is there twice is malformed.
func ReadDealt(bytes []byte) (map[string][]sdk.TopicPartition, error) {
	r := abi.NewReader(bytes)
	if r.U32() != abi.DealtMagic {
		return nil, ErrMalformed
	}
	dealt := make(map[string][]sdk.TopicPartition)
	for range r.Count(8) {
		id := r.Text()
		if _, twice := dealt[id]; twice || r.Bad {
			return nil, ErrMalformed
		}
		dealt[id] = readPartitions(r)
	}
	if r.Bad || r.Len() != 0 {
		return nil, ErrMalformed
	}
	return dealt, nil
}
