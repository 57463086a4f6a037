package netpoll

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// listen opens a listening socket. What is set here the accepted sockets inherit.
func listen(address string, o *Options) (fd int, bound netip.AddrPort, err error) {
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return -1, bound, fmt.Errorf("listen on %q: %w", address, err)
	}
	ip, any := netip.AddrFromSlice(resolved.IP)
	ip = ip.Unmap().WithZone(resolved.Zone)
	if !any {
		ip = netip.IPv6Unspecified() // and IPv4 with it
	}
	fd, err = bind(ip, resolved.Port, o)
	if err == unix.EAFNOSUPPORT && ip == netip.IPv6Unspecified() {
		fd, err = bind(netip.IPv4Unspecified(), resolved.Port, o)
	}
	if err != nil {
		return -1, bound, fmt.Errorf("listen on %q: %w", address, err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		_ = unix.Close(fd)
		return -1, bound, fmt.Errorf("listen on %q: %w", address, os.NewSyscallError("getsockname", err))
	}
	return fd, addrPort(name), nil
}

func bind(ip netip.Addr, port int, o *Options) (fd int, err error) {
	family := unix.AF_INET6
	var name unix.Sockaddr
	if ip.Is4() {
		family, name = unix.AF_INET, &unix.SockaddrInet4{Port: port, Addr: ip.As4()}
	} else {
		zone, err := zoneIndex(ip.Zone())
		if err != nil {
			return -1, err
		}
		name = &unix.SockaddrInet6{Port: port, Addr: ip.As16(), ZoneId: zone}
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	set := func(level, option, value int) {
		if err == nil {
			err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, level, option, value))
		}
	}
	set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	set(unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	set(unix.SOL_SOCKET, unix.SO_OOBINLINE, 1) // urgent data is data; else it would be reported for ever
	set(unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if family == unix.AF_INET6 && ip.IsUnspecified() {
		set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
	}
	if o.SendBuffer > 0 {
		set(unix.SOL_SOCKET, unix.SO_SNDBUF, o.SendBuffer)
	}
	if o.ReceiveBuffer > 0 { // before listen: the window scale is settled by the handshake
		set(unix.SOL_SOCKET, unix.SO_RCVBUF, o.ReceiveBuffer)
	}
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, name))
	}
	if err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, backlog))
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// backlog is how many connections may wait to be accepted; the kernel lowers it to
// net.core.somaxconn.
const backlog = 4096

func zoneIndex(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, err
	}
	return uint32(i.Index), nil
}

// addrPort is a socket's name, IPv4 as such even on an IPv6 socket.
func addrPort(name unix.Sockaddr) netip.AddrPort {
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// readv fills the first count vectors of the loop from the socket.
func (l *Loop) readv(fd, count int) (int, error) {
	for {
		n, _, e := unix.Syscall(unix.SYS_READV, uintptr(fd), uintptr(unsafe.Pointer(&l.vectors[0])), uintptr(count))
		if e == 0 {
			return int(n), nil
		}
		if e != unix.EINTR {
			return 0, e
		}
	}
}

// sendmsg sends the first count vectors of the loop.
func (l *Loop) sendmsg(fd, count, flags int) (int, error) {
	l.message.SetIovlen(count)
	for {
		n, _, e := unix.Syscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&l.message)), uintptr(flags|unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT))
		if e == 0 {
			return int(n), nil
		}
		if e != unix.EINTR {
			return 0, e
		}
	}
}

// vector points vector i at p, which is not empty.
func (l *Loop) vector(i int, p []byte) {
	l.vectors[i].Base = unsafe.SliceData(p)
	l.vectors[i].SetLen(len(p))
}

// pending is how many bytes wait in the socket to be read.
func pending(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCINQ)
	if err != nil {
		return 0
	}
	return n
}

// unsent is how many written bytes the peer's kernel has not yet acknowledged.
func unsent(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}

// socketError takes the socket's error.
func socketError(fd int) error {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil || n == 0 {
		return err
	}
	return unix.Errno(n)
}
