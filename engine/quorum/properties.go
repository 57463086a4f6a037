package quorum

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/cluster"
)

// propertiesFile is in every log directory and says whose it is, in Kafka's format.
const propertiesFile = "meta.properties"

// Properties say to which node of which cluster a log directory belongs.
type Properties struct {
	// ClusterID is Kafka's cluster id, 22 characters.
	ClusterID string
	NodeID    int32
	// Directory is the id of this log directory.
	Directory cluster.ID
}

// Encode is the text of meta.properties.
func (p Properties) Encode() []byte {
	return fmt.Appendf(nil, "#\n# This log directory belongs to the node and the cluster named here.\n#\n"+
		"cluster.id=%s\ndirectory.id=%s\nnode.id=%d\nversion=1\n", p.ClusterID, p.Directory, p.NodeID)
}

// ParseProperties reads the text of meta.properties, as Kafka writes it too.
func ParseProperties(text []byte) (Properties, error) {
	values := make(map[string]string)
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		at := strings.IndexAny(line, "=:")
		if at < 0 {
			return Properties{}, fmt.Errorf("line %q has no value", line)
		}
		values[strings.TrimSpace(line[:at])] = strings.TrimSpace(line[at+1:])
	}
	if err := lines.Err(); err != nil {
		return Properties{}, err
	}
	if values["version"] != "1" {
		return Properties{}, fmt.Errorf("version is %q; this program knows version 1", values["version"])
	}
	p := Properties{ClusterID: values["cluster.id"]}
	node, err := strconv.ParseInt(values["node.id"], 10, 32)
	switch {
	case p.ClusterID == "":
		return Properties{}, errors.New("cluster.id is missing")
	case err != nil || node < 0:
		return Properties{}, fmt.Errorf("node.id %q is not a node id", values["node.id"])
	}
	p.NodeID = int32(node)
	if text := values["directory.id"]; text != "" {
		if p.Directory, err = cluster.ParseID(text); err != nil {
			return Properties{}, fmt.Errorf("directory.id: %w", err)
		}
	}
	return p, nil
}

// Claim makes sure that the log directories belong to this node and to one cluster, and
// answers their properties in the same order. A directory that belongs to nobody yet
// becomes this node's. With an empty clusterID the cluster is the one that a directory
// knows already, or a new one.
//
// The first directory is the one that holds the metadata log.
func Claim(files diskio.FS, dirs []string, node int32, clusterID string, newID func() cluster.ID) ([]Properties, error) {
	claimed := make([]Properties, len(dirs))
	given := clusterID != ""
	from := "the configuration"
	for n, dir := range dirs {
		name := filepath.Join(dir, propertiesFile)
		found, err := readProperties(files, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", name, err)
		case found.NodeID != node:
			return nil, fmt.Errorf("%s belongs to node %d, and this is node %d: "+
				"set node.id=%d if this is that node's data, or choose another log directory", dir, found.NodeID, node, found.NodeID)
		case clusterID != "" && found.ClusterID != clusterID:
			return nil, fmt.Errorf("%s belongs to cluster %s, and %s says cluster %s", dir, found.ClusterID, from, clusterID)
		}
		// Whoever wrote it may have been killed before its name was durable.
		if err := files.SyncDir(dir); err != nil {
			return nil, fmt.Errorf("sync log directory %s: %w", dir, err)
		}
		if !given {
			from = dir
		}
		clusterID, claimed[n] = found.ClusterID, found
	}
	if clusterID == "" {
		clusterID = newID().String()
	}
	for n, dir := range dirs {
		if err := claim(files, dir, n == 0, &claimed[n], Properties{ClusterID: clusterID, NodeID: node}, newID); err != nil {
			return nil, err
		}
		for k := range n {
			if claimed[k].Directory == claimed[n].Directory {
				return nil, fmt.Errorf("%s and %s have the same directory.id %s: one is a copy of the other",
					dirs[k], dir, claimed[n].Directory)
			}
		}
	}
	return claimed, nil
}

// claim completes the properties of one directory and writes them when something was missing.
func claim(files diskio.FS, dir string, holdsLog bool, p *Properties, want Properties, newID func() cluster.ID) error {
	if !p.Directory.Zero() {
		return nil
	}
	if err := files.MkdirAll(dir); err != nil {
		return fmt.Errorf("make log directory %s: %w", dir, err)
	}
	if p.ClusterID == "" && holdsLog {
		names, err := files.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("list log directory %s: %w", dir, err)
		}
		if slices.Contains(names, logFolder) {
			return fmt.Errorf("%s has a metadata log and no %s: bring the file back, it says whose log this is", dir, propertiesFile)
		}
	}
	*p = want
	p.Directory = newID()
	name := filepath.Join(dir, propertiesFile)
	if err := diskio.WriteFile(files, name, p.Encode()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func readProperties(files diskio.FS, name string) (Properties, error) {
	text, err := diskio.ReadFile(files, name)
	if err != nil {
		return Properties{}, err
	}
	return ParseProperties(text)
}
