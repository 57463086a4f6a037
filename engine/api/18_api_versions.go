package api

import (
	"regexp"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
)

// softwareName is what a client may call itself and its version (KIP-511).
var softwareName = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

// ApiVersions tells what is served. Its response never has tagged fields in the header,
// and a version that is not served is answered in version 0 together with the list, so
// that a client can always go on (KIP-511).
//
//	v3 flexible, client software · v4 features with minimum 0 · v5 expected cluster and node
//
// Differs from Kafka: nothing.
func apiVersions(c *call, q *kmsg.ApiVersionsRequest, a *kmsg.ApiVersionsResponse) {
	switch {
	case c.version >= 3 && !(softwareName.MatchString(q.ClientSoftwareName) && softwareName.MatchString(q.ClientSoftwareVersion)):
		a.ErrorCode = kerr.InvalidRequest.Code
		c.reply(a)
		return
	case c.version >= 5 && (q.ClusterID == nil) != (q.NodeID < 0):
		a.ErrorCode = kerr.InvalidRequest.Code
		c.reply(a)
		return
	case c.version >= 5 && c.server.misdirected(q):
		a.ErrorCode = rebootstrapRequired
	}
	if c.session.proof != nil {
		c.session.proof.gate.Versions()
	}
	c.session.software, c.session.softwareVersion = q.ClientSoftwareName, q.ClientSoftwareVersion
	c.server.advertise(c.version, a)
	c.reply(a)
}

// rebootstrapRequired tells a client that it reached a broker of another cluster, or
// another broker than it meant (KIP-1242).
const rebootstrapRequired = 129

func (s *Server) misdirected(q *kmsg.ApiVersionsRequest) bool {
	return q.ClusterID != nil && *q.ClusterID != s.Controller.Image().ClusterID() || q.NodeID >= 0 && q.NodeID != s.NodeID
}

// advertise lists the keys and features.
func (s *Server) advertise(version int16, a *kmsg.ApiVersionsResponse) {
	for _, e := range s.table {
		if e == nil {
			continue
		}
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = e.key, e.min, e.max
		a.ApiKeys = append(a.ApiKeys, k)
	}
	if version < 3 {
		return
	}
	// The epoch is the offset of the newest change, as in Kafka. Clients take features over
	// only when it is higher than what they have seen, so it must not be newer than the image.
	a.FinalizedFeaturesEpoch = s.MetadataLog().High - 1
	image := s.Controller.Image()
	for _, f := range cluster.SupportedFeatures() {
		// Version 3 is read by clients that take a minimum of 0 for malformed.
		if f.Min == 0 && version < 4 {
			continue
		}
		supported := kmsg.NewApiVersionsResponseSupportedFeature()
		supported.Name, supported.MinVersion, supported.MaxVersion = f.Name, f.Min, f.Max
		a.SupportedFeatures = append(a.SupportedFeatures, supported)
	}
	for _, f := range image.Features() {
		finalized := kmsg.NewApiVersionsResponseFinalizedFeature()
		finalized.Name, finalized.MinVersionLevel, finalized.MaxVersionLevel = f.Name, f.Level, f.Level
		a.FinalizedFeatures = append(a.FinalizedFeatures, finalized)
	}
}

// refuseVersion answers a version of ApiVersions that is not served.
func (c *call) refuseVersion() {
	c.version = 0
	a := kmsg.NewPtrApiVersionsResponse()
	a.ErrorCode = kerr.UnsupportedVersion.Code
	c.server.advertise(0, a)
	c.reply(a)
}
