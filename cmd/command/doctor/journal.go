package doctor

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/diskio"
)

// journal looks at the journal of a data folder, which a broker may be writing to.
func (r *report) journal(folder string) {
	what := "journal of " + folder
	found, err := diskio.InspectJournal(diskio.OS, folder)
	if err != nil {
		r.add(bad, what, "%v", err)
		return
	}
	if len(found.Damage) > 0 { // a block that was being written, or real
		again, err := diskio.InspectJournal(diskio.OS, folder)
		if err != nil {
			r.add(bad, what, "%v", err)
			return
		}
		found = persisting(found, again)
	}
	for _, d := range found.Damage {
		r.add(bad, what, "%s; stop the broker, `millrace log verify %s` says what the journal has of which partition", d, folder)
	}
	for _, h := range found.Held {
		r.add(bad, what, "%d bytes of %s are held back, for partition.metadata beside it cannot be read; mend it and start the broker again", h.Bytes, h.Name)
	}
	if len(found.Files) > 0 && len(found.Damage)+len(found.Held) == 0 {
		r.add(fine, what, "files: %d, %s", len(found.Files), pending(found))
	}
}

// persisting is what was seen last, with only such damage as was there both times.
func persisting(before, again *diskio.JournalReport) *diskio.JournalReport {
	again.Damage = slices.DeleteFunc(again.Damage, func(d diskio.JournalDamage) bool {
		return !slices.ContainsFunc(before.Damage, func(b diskio.JournalDamage) bool {
			return b.File == d.File && b.Position == d.Position && b.Err.Error() == d.Err.Error()
		})
	})
	return again
}

func pending(j *diskio.JournalReport) string {
	total := int64(0)
	for _, p := range j.Pending {
		total += p.Bytes
	}
	if total == 0 {
		return "0 bytes of 0 files are to be replayed"
	}
	return fmt.Sprintf("%d bytes of %d files are not in the files' own syncs yet", total, len(j.Pending))
}
