package api

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/spent"
)

// The answers for topics that are not there are added to the others in time that grows with
// their number and not with its square: whoever asks may name millions.
func TestAnswersAreJoinedInOnePass(t *testing.T) {
	all := []kmsg.OffsetDeleteResponseTopic{{Topic: "t", Partitions: make([]kmsg.OffsetDeleteResponseTopicPartition, 1)}}
	more := []kmsg.OffsetDeleteResponseTopic{{Topic: "t", Partitions: make([]kmsg.OffsetDeleteResponseTopicPartition, 2)}}
	for i := range 200_000 {
		more = append(more, kmsg.OffsetDeleteResponseTopic{Topic: fmt.Sprintf("%08d", i)})
	}
	began := spent.Processor(t)
	got := joined(all, more)
	if took := spent.Processor(t) - began; took > 10*time.Second {
		t.Errorf("it took %v of processor time", took)
	}
	if len(got) != len(more) || len(got[0].Partitions) != 3 {
		t.Errorf("got %d topics, want %d", len(got), len(more))
	}
}
