package api

// FetchSessions is how many incremental fetch sessions there are (any goroutine).
func (s *Server) FetchSessions() int64 { return int64(s.sessions.used.Load()) }
