package engine

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/commitlog"
)

// metadataFolder holds the metadata log, in one of the data folders.
const metadataFolder = cluster.MetadataTopic + "-0"

// metadataFirst lists the disks with the one first that has the metadata log, in
// whatever order log.dirs names them: beside a new metadata log all that is there would
// belong to nobody.
func (b *Broker) metadataFirst() ([]*disk, error) {
	var has, others []*disk
	var partitions string // a folder that belongs to some partition
	for _, d := range b.disks {
		names, err := d.FS.ReadDir(d.Path)
		if err != nil {
			return nil, fmt.Errorf("look into data folder %s: %w", d.Path, err)
		}
		found := false
		for _, name := range names {
			found = found || name == metadataFolder
			if _, _, ok := parseFolder(name); ok && name != metadataFolder {
				partitions = filepath.Join(d.Path, name)
			}
		}
		if found {
			has = append(has, d)
		} else {
			others = append(others, d)
		}
	}
	switch {
	case len(has) > 1:
		return nil, fmt.Errorf("%s and %s both have a metadata log (%s): one broker has one; take away the folder that is not this broker's",
			has[0].Path, has[1].Path, metadataFolder)
	case len(has) == 0 && partitions != "":
		return nil, fmt.Errorf("there are partitions (%s), and in none of log.dirs the metadata log that says whose they are (%s): "+
			"bring that folder back into log.dirs, or begin with empty folders", partitions, metadataFolder)
	}
	if len(has) == 0 { // a new data set, whatever stood here before
		for _, d := range b.disks {
			d.entries = 0
		}
	}
	return append(has, others...), nil
}

// parseFolder reads the name of a partition's folder.
func parseFolder(name string) (topic string, partition int, ok bool) {
	at := strings.LastIndexByte(name, '-')
	if at <= 0 {
		return "", 0, false
	}
	n, err := strconv.ParseUint(name[at+1:], 10, 31)
	if err != nil || commitlog.FolderName(name[:at], int32(n)) != name {
		return "", 0, false
	}
	return name[:at], int(n), true
}

// sortOut looks at the folders of partitions before anything is opened. What belongs to
// no partition of the cluster is moved aside: a topic was deleted, and the broker died
// before its folders were gone. A partition that lies in another data folder than its
// own, because somebody moved it, is noted.
func (b *Broker) sortOut(image *cluster.Image) error {
	b.elsewhere = map[string]*disk{}
	for _, d := range b.disks {
		names, err := d.FS.ReadDir(d.Path)
		if err != nil {
			return fmt.Errorf("look into data folder %s: %w", d.Path, err)
		}
		for _, name := range names {
			if err := b.sortOne(image, d, name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *Broker) sortOne(image *cluster.Image, d *disk, name string) error {
	topic, partition, ok := parseFolder(name)
	if !ok || name == metadataFolder {
		return nil
	}
	found, err := d.FS.Stat(filepath.Join(d.Path, name))
	if err != nil {
		return fmt.Errorf("look at a partition's folder, or at what a link of that name leads to; bring that back, or take the link away: %w", err)
	}
	if !found.Dir {
		return nil
	}
	t := image.Topic(topic)
	switch {
	case t == nil:
		return d.Estrange(name, "there is no topic of this name")
	case partition >= len(t.Partitions):
		return d.Estrange(name, fmt.Sprintf("the topic has %d partitions", len(t.Partitions)))
	case t.Partitions[partition].Directory(b.self()) != d.ID:
		return b.sortNamesake(t, d, name)
	}
	return nil
}

// sortNamesake looks at a folder in another data folder than its partition's: somebody
// has moved the partition, or this is what a deleted topic of the same name has left.
func (b *Broker) sortNamesake(t *cluster.Topic, d *disk, name string) error {
	switch owner, err := commitlog.TopicOf(d.FS, filepath.Join(d.Path, name)); {
	case err == nil && owner != ([16]byte{}) && owner != [16]byte(t.ID):
		return d.Estrange(name, "another topic had the name before")
	default: // its own, or nobody can tell: a person decides
		b.elsewhere[name] = d
		return nil
	}
}

// errElsewhere says that somebody has moved a partition.
var errElsewhere = errors.New("the partition lies in another data folder than the one that it belongs to; move it back and start again")
