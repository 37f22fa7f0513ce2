//! A web server of tokio and hyper: a greeting, an echo, many bytes, the machine's free memory, and ways out.

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

type Body = BoxBody<Bytes, hyper::Error>;

fn full(bytes: impl Into<Bytes>) -> Response<Body> {
    Response::new(Full::new(bytes.into()).map_err(|never| match never {}).boxed())
}

fn free_memory() -> u64 {
    let info = rustix::system::sysinfo();
    info.freeram * u64::from(info.mem_unit) / 1024
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    Ok(match path.split('/').skip(1).collect::<Vec<_>>()[..] {
        ["echo"] => Response::new(request.into_body().boxed()),
        ["memory"] => full(free_memory().to_string()),
        ["quit"] => std::process::exit(3),
        ["bytes", count] => match count.parse::<usize>() {
            Ok(count) => full((0..count).map(|index| (index % 251) as u8).collect::<Vec<u8>>()),
            Err(_) => {
                let mut response = full("not a number\n");
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
        },
        _ => full(format!("hello {path}\n")),
    })
}

fn main() -> std::io::Result<()> {
    // As many workers as anywhere: on one processor they take turns.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("0.0.0.0:80").await?;
        let mut end = signal(SignalKind::terminate())?;
        let mut requests = JoinSet::new();
        println!("ready");
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted?.0,
                _ = end.recv() => break,
                Some(_) = requests.join_next() => continue,
            };
            let _ = stream.set_nodelay(true);
            requests.spawn(async move {
                let connection = http1::Builder::new()
                    .half_close(true)
                    .pipeline_flush(true)
                    .serve_connection(TokioIo::new(stream), service_fn(answer));
                // A peer that hangs up in the middle is its own affair.
                let _ = connection.await;
            });
        }
        println!("ending");
        // Requests that are under way come to their end first.
        while requests.join_next().await.is_some() {}
        println!("ended");
        Ok(())
    })
}
