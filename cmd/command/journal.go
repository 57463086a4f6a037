package command

import (
	"encoding/base64"
	"fmt"
	"io"
	"path/filepath"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/commitlog"
)

// verifyJournal reports what stands in the journal of a data folder, and how many places of it
// are damaged, and answers what it has yet to bring to partitions. A folder without a journal has nothing to report.
func verifyJournal(out io.Writer, dir string) (problems int, rest []diskio.JournalRest, err error) {
	report, err := diskio.InspectJournal(diskio.OS, dir)
	if err != nil {
		return 0, nil, fmt.Errorf("verify journal: %w", err)
	}
	for _, d := range report.Damage {
		fmt.Fprintf(out, "%s; records acknowledged just before the last stop may be gone: compare with a copy before the broker is started, which replays the rest\n", d)
	}
	for _, h := range report.Held {
		fmt.Fprintf(out, "%s: %d bytes of it are held back, up to position %d: the next start brings them back if %s is that of topic id %s\n",
			filepath.Join(dir, filepath.FromSlash(h.Name)), h.Bytes, h.End, filepath.Join(dir, filepath.Dir(h.Name), commitlog.TopicFile), base64.RawURLEncoding.EncodeToString(h.Tag[:]))
	}
	for _, f := range report.Files {
		state := "not needed"
		if f.Needed {
			state = fmt.Sprintf("needed, blocks: %d", f.Blocks)
		}
		fmt.Fprintf(out, "%s: %d bytes, epoch %d, %s\n", f.Path, f.Size, f.Epoch, state)
	}
	for _, p := range report.Pending {
		fmt.Fprintf(out, "%s: the journal has %d ranges of it, %d bytes, up to position %d\n", filepath.Join(dir, filepath.FromSlash(p.Name)), p.Ranges, p.Bytes, p.End)
	}
	return len(report.Damage) + len(report.Held), append(report.Pending, report.Held...), nil
}
