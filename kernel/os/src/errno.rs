//! Linux' errors, as the calls return them.

/// An error number of Linux (`errno(3)`), positive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub u16);

pub type Result<T> = core::result::Result<T, Errno>;

macro_rules! errnos {
    ($($name:ident),+ $(,)?) => {
        impl Errno {
            $(pub const $name: Self = Self(linux_raw_sys::errno::$name as u16);)+
        }
    };
}

errnos!(
    E2BIG,
    EACCES,
    EAGAIN,
    EFBIG,
    ENOSPC,
    ENOTEMPTY,
    EXDEV,
    EPIPE,
    EBUSY,
    EMLINK,
    EBADF,
    EEXIST,
    EFAULT,
    EINTR,
    EINVAL,
    EIO,
    EISDIR,
    ELOOP,
    EMFILE,
    ENAMETOOLONG,
    ENODEV,
    ENOENT,
    ENOEXEC,
    ENOLCK,
    ENOMEM,
    ENOSYS,
    ENOTDIR,
    ENOTTY,
    ENXIO,
    EPERM,
    EROFS,
    ERANGE,
    ESPIPE,
    ESRCH,
    ETIMEDOUT,
    EOVERFLOW,
    EOPNOTSUPP,
    ECHILD,
    EIDRM,
    ENOMSG,
    ETOOMANYREFS,
    ESOCKTNOSUPPORT,
    EPROTOTYPE,
    EPROTONOSUPPORT,
    ENOTSOCK,
    ENOTCONN,
    ENOPROTOOPT,
    ENOBUFS,
    ENETUNREACH,
    EMSGSIZE,
    EISCONN,
    EINPROGRESS,
    EHOSTUNREACH,
    EDESTADDRREQ,
    ECONNRESET,
    ECONNREFUSED,
    ECONNABORTED,
    EALREADY,
    EAFNOSUPPORT,
    EADDRNOTAVAIL,
    EADDRINUSE,
);
