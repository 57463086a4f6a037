package kafka

import (
	"encoding/base64"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/cmd/command/option"
	"github.com/millrace/millrace/cmd/command/quorum"
	"github.com/millrace/millrace/cmd/command/session"
)

// changeVoters is what add-controller and remove-controller do. Who is to be added describes itself by its own
// settings, and by the file in its folder that names the folder.
func changeVoters(c *call) error {
	dry := c.given.Has("dry-run")
	var v quorum.Voter
	var err error
	if c.given.Command() == "remove-controller" {
		v, err = removedVoter(c.given)
	} else {
		v, err = addedVoter(c.given)
	}
	if err != nil {
		return err
	}
	s, err := c.openServers()
	if err != nil {
		return err
	}
	defer s.Close()
	if c.given.Command() == "remove-controller" {
		return quorum.Remove(c.ctx, s, v, dry)
	}
	return quorum.Add(c.ctx, s, v, dry)
}

func removedVoter(g *option.Given) (v quorum.Voter, err error) {
	v.ID = int32(g.Int("controller-id"))
	if v.ID < 0 {
		return v, &plainError{fmt.Sprintf("Invalid negative --controller-id: %d", v.ID)}
	}
	if v.Directory, err = directoryID(g.Text("controller-directory-id")); err != nil {
		return v, &plainError{"Failed to parse --controller-directory-id: " + err.Error()}
	}
	return v, nil
}

func directoryID(text string) (id [16]byte, err error) {
	bytes, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || len(bytes) != len(id) {
		return id, fmt.Errorf("%q is no id: 22 characters of URL-safe base64 are", text)
	}
	copy(id[:], bytes)
	return id, nil
}

const ofController = ". Is this a valid controller configuration file?"

func addedVoter(g *option.Given) (v quorum.Voter, err error) {
	if !g.Has("command-config") {
		return v, &plainError{"You must supply the configuration file of the controller you are adding when using add-controller."}
	}
	p := session.Properties{}
	if err := p.Load(g.Text("command-config")); err != nil {
		return v, err
	}
	id, given := p["node.id"]
	if !given {
		return v, &plainError{"node.id not found in configuration file" + ofController}
	}
	node, err := strconv.ParseInt(id, 10, 32)
	if err != nil {
		return v, &plainError{"node.id is no number in configuration file" + ofController}
	}
	if v.ID = int32(node); v.ID < 0 {
		return v, &plainError{"node.id was negative in configuration file" + ofController}
	}
	if !slices.Contains(list(p["process.roles"]), "controller") {
		return v, &plainError{"process.roles did not contain 'controller' in configuration file" + ofController}
	}
	if v.Directory, err = folderOf(p); err != nil {
		return v, err
	}
	v.Endpoints, err = endpoints(p)
	return v, err
}

// folderOf is the id of the folder in which a controller keeps the metadata.
func folderOf(p session.Properties) (id [16]byte, err error) {
	folder := p["metadata.log.dir"]
	if folder == "" {
		folders := list(p["log.dirs"])
		if len(folders) == 0 {
			return id, &plainError{"Neither metadata.log.dir nor log.dirs were found" + ofController}
		}
		folder = folders[0]
	}
	meta := session.Properties{}
	if err := meta.Load(filepath.Join(folder, "meta.properties")); err != nil {
		return id, err
	}
	if meta["directory.id"] == "" {
		return id, &plainError{"No directory id found in " + folder}
	}
	return directoryID(meta["directory.id"])
}

// endpoints are where a controller says that it can be reached.
func endpoints(p session.Properties) (all []quorum.Endpoint, err error) {
	at := map[string]quorum.Endpoint{}
	for _, one := range append(list(p["listeners"]), list(p["advertised.listeners"])...) {
		name, address, _ := strings.Cut(one, "://")
		host, port, err := net.SplitHostPort(address)
		number, numberErr := strconv.ParseUint(port, 10, 16)
		if err != nil || numberErr != nil {
			return nil, &plainError{"Unable to parse " + one + " to a broker endpoint"}
		}
		if host == "" {
			host = "localhost"
		}
		at[strings.ToUpper(name)] = quorum.Endpoint{Listener: strings.ToUpper(name), Host: host, Port: uint16(number)}
	}
	names := list(p["controller.listener.names"])
	if len(names) == 0 {
		return nil, &plainError{"controller.listener.names was not found" + ofController}
	}
	for _, name := range names {
		e, ok := at[strings.ToUpper(name)]
		if !ok {
			return nil, &plainError{"Cannot find information about controller listener name: " + name}
		}
		all = append(all, e)
	}
	return all, nil
}
