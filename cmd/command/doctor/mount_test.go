package doctor

import (
	"slices"
	"testing"
)

func TestMountOptions(t *testing.T) {
	const table = `/dev/a / ext4 rw,relatime,discard 0 0
tmpfs /tmp tmpfs rw 0 0
/dev/b /data xfs rw,noatime 0 0
/dev/c /data xfs rw,discard 0 0
/dev/d /data\040two ext4 ro 0 0
short line
`
	for folder, want := range map[string][]string{
		"/var/lib":        {"rw", "relatime", "discard"},
		"/tmp":            {"rw"},
		"/tmpfiles":       {"rw", "relatime", "discard"},
		"/data/x/y":       {"rw", "discard"}, // mounted over the one before
		"/data two/topic": {"ro"},
	} {
		if got := mountOptions(table, folder); !slices.Equal(got, want) {
			t.Errorf("%s is mounted with %q, want %q", folder, got, want)
		}
	}
	if got := mountOptions("", "/x"); got != nil {
		t.Errorf("nothing is mounted, with %q", got)
	}
}
