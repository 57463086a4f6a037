package loadgen

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

//go:embed workloads/*.yaml
var shipped embed.FS

// ShippedWorkloads are the names of the workloads that come with the program.
func ShippedWorkloads() []string {
	files, err := fs.Glob(shipped, "workloads/*.yaml")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	var names []string
	for _, file := range files {
		names = append(names, strings.TrimSuffix(strings.TrimPrefix(file, "workloads/"), ".yaml"))
	}
	return names
}

// FindWorkload reads the workload file at path, or else the shipped one of that name.
func FindWorkload(name string) (*Workload, error) {
	if _, err := os.Stat(name); err == nil {
		return ReadWorkload(name)
	}
	text, err := shipped.ReadFile("workloads/" + strings.TrimSuffix(name, ".yaml") + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("there is no workload file %s, and the shipped ones are %s", name, strings.Join(ShippedWorkloads(), ", "))
	}
	return ParseWorkload(name, text)
}
