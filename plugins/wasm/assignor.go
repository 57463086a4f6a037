package wasm

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/millrace/millrace/plugins/wasm/abi"
	"github.com/millrace/millrace/plugins/wasm/message"
	"github.com/millrace/millrace/sdk"
)

func init() { sdk.Assignors.Register("wasm", NewAssignor) }

// maxName is the most bytes of the name of an assignor.
const maxName = 249

// Assignor is an assignor that is a WebAssembly module. Any goroutine may call it.
type Assignor struct {
	*pool
	name     string
	protocol sdk.RebalanceProtocol
}

var _ sdk.Assignor = (*Assignor)(nil)

// NewAssignor makes an assignor from its settings, which are those of NewPartitioner.
func NewAssignor(c sdk.Config) (sdk.Assignor, error) {
	pool, err := newPool(c, assignors, false)
	if err != nil {
		return nil, err
	}
	a := &Assignor{pool: pool}
	if err := a.introduce(); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return a, nil
}

// introduce asks the guest for its name and protocol.
func (a *Assignor) introduce() error {
	i, err := a.take()
	if err != nil {
		return err
	}
	if i.others[abi.Assignor] == nil {
		err = fmt.Errorf("it exports %s and not %s: %w", abi.Assign, abi.Assignor, ErrOutput)
	}
	var answer []byte
	if err == nil {
		answer, err = a.hear(i, abi.Assignor)
	}
	if err == nil {
		r := abi.NewReader(answer)
		protocol := r.U32()
		name := string(r.Raw(uint32(r.Len())))
		if r.Bad || protocol > uint32(sdk.Cooperative) || name == "" || len(name) > maxName || !utf8.ValidString(name) {
			err = fmt.Errorf("it says that its name is %.300q and its protocol %d: %w", name, protocol, ErrOutput)
		}
		a.name, a.protocol = name, sdk.RebalanceProtocol(protocol)
	}
	a.give(i, err)
	return a.wrong(err)
}

// Name is what the guest says.
func (a *Assignor) Name() string { return a.name }

// Protocol is what the guest says.
func (a *Assignor) Protocol() sdk.RebalanceProtocol { return a.protocol }

// UserData asks the guest; when it fails there is none, and the log says why.
func (a *Assignor) UserData(topics []string, held []sdk.TopicPartition) []byte {
	i, err := a.take()
	if err != nil {
		a.complain("UserData", err)
		return nil
	}
	if i.others[abi.UserData] == nil {
		a.give(i, nil)
		return nil
	}
	i.message = message.AppendMember(i.message, topics, held)
	answer, err := a.hear(i, abi.UserData)
	var out message.Datum
	var data []byte
	if err == nil {
		if err = datum(&out, answer); err == nil && out.Form > abi.FormBytes {
			err = fmt.Errorf("it answers form %d: %w", out.Form, ErrOutput)
		}
	}
	if err == nil && out.Form == abi.FormBytes {
		data = append([]byte{}, out.Bytes...)
	}
	if a.give(i, err); err != nil {
		a.complain("UserData", a.wrong(err))
	}
	return data
}

// Assign asks the guest, and believes it only what can be: each partition there is, once, and
// to a member that wants its topic.
func (a *Assignor) Assign(members []sdk.GroupMember, partitions map[string]int32) (map[string][]sdk.TopicPartition, error) {
	i, err := a.take()
	if err != nil {
		return nil, err
	}
	i.message = message.AppendGroup(i.message, members, partitions)
	answer, err := a.hear(i, abi.Assign)
	var dealt map[string][]sdk.TopicPartition
	if err == nil {
		dealt, err = assigned(answer, members, partitions)
	}
	if a.give(i, err); err != nil {
		return nil, a.wrong(err)
	}
	return dealt, nil
}

// assigned reads an assignment and checks it.
func assigned(answer []byte, members []sdk.GroupMember, partitions map[string]int32) (map[string][]sdk.TopicPartition, error) {
	if len(answer) >= 4 && bytes.Equal(answer[:4], abi.AppendU32(nil, abi.DatumMagic)) {
		var d message.Datum
		if err := datum(&d, answer); err != nil {
			return nil, err
		}
	}
	dealt, err := message.ReadDealt(answer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOutput, err)
	}
	taken := make(map[sdk.TopicPartition]bool)
	for id, list := range dealt {
		at := slices.IndexFunc(members, func(m sdk.GroupMember) bool { return m.ID == id })
		if at < 0 {
			return nil, fmt.Errorf("it gives partitions to %.100q, who is no member: %w", id, ErrOutput)
		}
		for _, tp := range list {
			switch {
			case tp.Partition < 0 || tp.Partition >= partitions[tp.Topic]:
				return nil, fmt.Errorf("it gives %.300q-%d away, which there is not: %w", tp.Topic, tp.Partition, ErrOutput)
			case taken[tp]:
				return nil, fmt.Errorf("it gives %s-%d away twice: %w", tp.Topic, tp.Partition, ErrOutput)
			case !slices.Contains(members[at].Topics, tp.Topic):
				return nil, fmt.Errorf("it gives %s-%d to %s, who has not subscribed to the topic: %w", tp.Topic, tp.Partition, id, ErrOutput)
			}
			taken[tp] = true
		}
	}
	return dealt, nil
}
