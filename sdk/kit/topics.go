package kit

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// createTopics makes topics as an admin client does, on a connection of its own.
func createTopics(address string, topics map[string]int32) error {
	if len(topics) == 0 {
		return nil
	}
	q := kmsg.NewPtrCreateTopicsRequest()
	q.SetVersion(7)
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, topics[name], 1
		q.Topics = append(q.Topics, t)
	}
	a := kmsg.NewPtrCreateTopicsResponse()
	a.SetVersion(7)
	if err := exchange(address, q, a); err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	for _, t := range a.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("create topic %q with %d partitions: %w", t.Topic, topics[t.Topic], err)
		}
	}
	return nil
}

// exchange sends one request and reads its answer; both have flexible headers.
func exchange(address string, q kmsg.Request, a kmsg.Response) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(stopPatience)); err != nil {
		return err
	}
	if _, err := c.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("kit")).AppendRequest(nil, q, 1)); err != nil {
		return err
	}
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return err
	}
	answer := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, answer); err != nil {
		return err
	}
	if len(answer) < 5 {
		return fmt.Errorf("an answer of %d bytes", len(answer))
	}
	return a.ReadFrom(answer[5:]) // behind the correlation id and no tags
}
