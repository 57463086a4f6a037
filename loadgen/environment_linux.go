package loadgen

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/results"
)

// Describe reads what the machine and the build are. Dir is where the broker keeps its
// data, to name the file system; it may be empty. What cannot be read stays empty: a
// measurement is not lost for a missing label.
func Describe(dir string) results.Environment {
	e := results.Environment{
		CPU: lineOf("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Go: runtime.Version(),
		Governor: content("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
	}
	if load, err := strconv.ParseFloat(first(content("/proc/loadavg")), 64); err == nil {
		e.LoadBefore = load
	}
	if kib, err := strconv.ParseInt(first(lineOf("/proc/meminfo", "MemTotal")), 10, 64); err == nil {
		e.Memory = kib << 10
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		e.Kernel = unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:])
	}
	e.FileSystem = fileSystem(dir)
	e.Git, e.Dirty = revision()
	return e
}

func content(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func first(text string) string {
	if fields := strings.Fields(text); len(fields) > 0 {
		return fields[0]
	}
	return ""
}

// lineOf returns the value of the first "name: value" line.
func lineOf(path, name string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		key, value, ok := strings.Cut(lines.Text(), ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// fileSystem names the type and device of the mount that holds dir: the longest mount
// point that is a prefix of it.
func fileSystem(dir string) string {
	if dir == "" {
		return ""
	}
	path, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	best, found := "", ""
	for line := range strings.Lines(content("/proc/self/mounts")) {
		fields := strings.Fields(line)
		if len(fields) < 3 || len(fields[1]) < len(best) {
			continue
		}
		if mount := fields[1]; mount == "/" || path == mount || strings.HasPrefix(path, mount+"/") {
			best, found = mount, fmt.Sprintf("%s on %s", fields[2], filepath.Base(fields[0]))
		}
	}
	return found
}

// revision is the commit that the program was built from: as the build says, else (go
// run does not stamp it) as the working tree says.
func revision() (commit string, dirty bool) {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				commit = s.Value
			case "vcs.modified":
				dirty = s.Value == "true"
			}
		}
	}
	if commit != "" {
		return commit, dirty
	}
	head, err := exec.Command("git", "rev-parse", "HEAD").Output()
	if err != nil {
		return "", false
	}
	changes, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no").Output()
	return strings.TrimSpace(string(head)), err != nil || len(bytes.TrimSpace(changes)) > 0
}
