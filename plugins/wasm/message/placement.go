package message

import (
	"github.com/millrace/millrace/plugins/wasm/abi"
	"github.com/millrace/millrace/sdk"
)

// AppendPlacement appends a placement, with the racks of leaders if the guest wants them.
func AppendPlacement(dst []byte, p *sdk.Placement, racks bool) []byte {
	count := uint32(0)
	if racks && p.LeaderRack != nil {
		count = uint32(p.Partitions)
	}
	for _, n := range []uint32{abi.PlaceMagic, abi.PlaceSize, uint32(p.Partitions), uint32(len(p.Available)), count, 0} {
		dst = abi.AppendU32(dst, n)
	}
	dst = abi.AppendText(dst, p.Topic)
	dst = abi.AppendBytes(dst, p.Key)
	dst = abi.AppendBytes(dst, p.Value)
	for _, partition := range p.Available {
		dst = abi.AppendU32(dst, uint32(partition))
	}
	for partition := range count {
		dst = abi.AppendText(dst, p.LeaderRack(int32(partition)))
	}
	return dst
}

// Placement reads placements; it keeps memory between them.
type Placement struct {
	sdk.Placement
	racks []string
}

// Read reads one, which is valid as long as its bytes.
func (p *Placement) Read(bytes []byte) error {
	head, rest := abi.Open(bytes, abi.PlaceMagic, abi.PlaceSize)
	partitions, available, racks := head.U32(), head.U32(), head.U32()
	if topic := rest.Bytes(); string(topic) != p.Topic {
		p.Topic = string(topic)
	}
	p.Key, p.Value = rest.Bytes(), rest.Bytes()
	p.Partitions, p.Available, p.racks = int32(partitions), p.Available[:0], p.racks[:0]
	if head.Bad || p.Partitions < 0 || available > partitions || racks != 0 && racks != partitions {
		return ErrMalformed
	}
	for range available {
		if rest.Bad {
			return ErrMalformed
		}
		p.Available = append(p.Available, int32(rest.U32()))
	}
	for range racks {
		if rest.Bad {
			return ErrMalformed
		}
		p.racks = append(p.racks, rest.Text())
	}
	p.LeaderRack = p.rack
	if rest.Bad || rest.Len() != 0 {
		return ErrMalformed
	}
	return nil
}

func (p *Placement) rack(partition int32) string {
	if partition < 0 || int(partition) >= len(p.racks) {
		return ""
	}
	return p.racks[partition]
}

// AppendFull appends that the batch of a partition is full.
func AppendFull(dst []byte, topic string, partition int32) []byte {
	return append(abi.AppendU32(dst, uint32(partition)), topic...)
}

// ReadFull reads it.
func ReadFull(bytes []byte) (topic string, partition int32, err error) {
	r := abi.NewReader(bytes)
	partition = int32(r.U32())
	if r.Bad {
		return "", 0, ErrMalformed
	}
	return string(bytes[4:]), partition, nil
}
