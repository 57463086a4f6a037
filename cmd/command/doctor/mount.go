package doctor

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mounted looks at how the file system of a folder is mounted, where the system tells.
func (r *report) mounted(folder string) {
	table, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return // not Linux
	}
	if resolved, err := filepath.EvalSymlinks(folder); err == nil {
		folder = resolved
	}
	folder, err = filepath.Abs(folder)
	if err == nil && slices.Contains(mountOptions(string(table), folder), "discard") {
		r.add(warning, "mount of "+folder, "its file system has the option discard: while deleted segments are given back to the device, acknowledgements wait; mount it without, and run fstrim at quiet hours")
	}
}

// mountOptions are those of the mount that has a folder, in a table as /proc/mounts has it:
// device, mount point, type, options. Of two on the same point the later one counts.
func mountOptions(table, folder string) (options []string) {
	best := -1
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 4 {
			continue
		}
		point := strings.ReplaceAll(fields[1], `\040`, " ") // how a space is written there
		inside := point == "/" || folder == point || strings.HasPrefix(folder, point+"/")
		if inside && len(point) >= best {
			best, options = len(point), strings.Split(fields[3], ",")
		}
	}
	return options
}
