package engine

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/shard"
)

// Sizes are told of partitions that nobody has used since the start, without their logs being
// opened for it.
func TestSizesOpenNoLog(t *testing.T) {
	const partitions = 16
	files := diskio.NewMemory()
	b, err := beginOn(files, "/data")
	if err != nil {
		t.Fatal(err)
	}
	createTopic(t, b, partitions, "many")
	c := client(t, b, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for p := range int32(partitions) {
		if err := c.ProduceSync(limited(t), &kgo.Record{Topic: "many", Partition: p, Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	stop(t, b)
	if b, err = beginOn(files, "/data"); err != nil {
		t.Fatal(err)
	}
	defer stop(t, b)
	dirs, err := kadm.NewClient(client(t, b)).DescribeAllLogDirs(limited(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	sizes, opened := 0, 0
	for _, d := range dirs {
		d.EachPartition(func(p kadm.DescribedLogDirPartition) {
			if p.Topic == "many" && p.Size > 0 {
				sizes++
			}
		})
	}
	b.registry.Named("many").Used(func(r *shard.Replica) {
		if r.Settled() {
			opened++
		}
	})
	if sizes != partitions || opened != 0 {
		t.Errorf("%d sizes of %d, and %d logs were opened to tell them", sizes, partitions, opened)
	}
}
