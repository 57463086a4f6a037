package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk"
)

// AddRaftVoter would make a controller a voter of the quorum of the metadata (KIP-853). The
// quorum here is the one node that there is, as with Kafka's controller.quorum.voters.
//
//	v0 flexible · v1 when to answer (KIP-1186)
//
// Differs from Kafka: nothing, while its quorum is static.
func addRaftVoter(c *call, q *kmsg.AddRaftVoterRequest, a *kmsg.AddRaftVoterResponse) {
	switch {
	case !c.onCluster(sdk.OperationAlter):
		a.ErrorCode, a.ErrorMessage = clusterDenied.Wire()
	case c.otherCluster(q.ClusterID):
		a.ErrorCode = kerr.InconsistentClusterID.Code
	case q.VoterID < 0 || q.VoterDirectoryID == [16]byte{}:
		a.ErrorCode, a.ErrorMessage = kerr.InvalidRequest.Code, told("Add voter request didn't include a valid voter")
	default:
		a.ErrorCode, a.ErrorMessage = kerr.UnsupportedVersion.Code, told("Cluster doesn't support adding voter because the kraft.version feature is 0")
	}
	c.reply(a)
}

// otherCluster reports whether a request is meant for another cluster than this.
func (c *call) otherCluster(id *string) bool {
	return id != nil && *id != c.server.Controller.Image().ClusterID()
}
