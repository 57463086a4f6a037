package engine

import (
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/millrace/millrace/engine/shard"
)

// TestALongNameIsDeletedUnused: a topic with the longest name that there may be is deleted, and nobody had used
// it since the start. Its folders get another name at once, and the next start has nothing to move.
func TestALongNameIsDeletedUnused(t *testing.T) {
	folder, name := t.TempDir(), strings.Repeat("n", 249)
	b, err := begin(folder)
	if err != nil {
		t.Fatal(err)
	}
	createTopic(t, b, 1, name)
	produceOne(t, b, name)
	stop(t, b)
	// What a broker left that died before it could take the folder away, of a topic that is not there.
	if err := os.Mkdir(folder+"/"+strings.Repeat("x", 249)+"-0", 0o755); err != nil {
		t.Fatal(err)
	}
	if b, err = begin(folder); err != nil {
		t.Fatal(err)
	}
	if _, err := kadm.NewClient(client(t, b)).DeleteTopics(limited(t), name); err != nil {
		t.Fatal(err)
	}
	stop(t, b) // after what the shard was told before
	found, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	endings := map[string]int{}
	for _, one := range found {
		for _, c := range []string{"n", "x"} {
			if strings.HasPrefix(one.Name(), strings.Repeat(c, 200)) {
				endings[c+one.Name()[strings.LastIndexByte(one.Name(), '-'):]]++
			}
		}
	}
	if len(endings) != 2 || endings["n"+shard.DeletedSuffix] != 1 || endings["x"+shard.StraySuffix] != 1 {
		t.Errorf("folders of long names end with %v, want one that is deleted and one moved aside", endings)
	}
	if b, err = begin(folder); err != nil {
		t.Fatal(err)
	}
	stop(t, b)
}

// TestALinkToNothingIsTold: a link of a partition's name that leads nowhere, as to a disk that is not mounted, refuses the start
// and says what to do. Who began without it would take the partition for empty.
func TestALinkToNothingIsTold(t *testing.T) {
	folder := t.TempDir()
	b, err := begin(folder)
	if err != nil {
		t.Fatal(err)
	}
	stop(t, b)
	if err := os.Symlink(folder+"/nowhere", folder+"/orders-0"); err != nil {
		t.Fatal(err)
	}
	b, err = begin(folder)
	if err == nil {
		stop(t, b)
		t.Fatal("it starts")
	}
	for _, want := range []string{folder + "/orders-0", "take the link away"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
