//! Compressed streams: gzip and zstd, told by their first bytes.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

/// How a stream is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    /// What the first bytes of a stream say.
    pub(super) fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Packing::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
            // A skippable frame, which zstd's seekable writers put first.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Packing::Zstd,
            _ => Packing::Plain,
        }
    }
}

/// What a stream unfolds to.
pub(super) fn unpack<'r>(packed: impl Read + 'r, packing: Packing) -> Box<dyn Read + 'r> {
    match packing {
        Packing::Plain => Box::new(packed),
        Packing::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 16, packed))),
        Packing::Zstd => Box::new(Frames::Between(Some(BufReader::with_capacity(1 << 16, packed)))),
    }
}

/// Zstd frames one after another, as several writers make them.
enum Frames<R: Read> {
    Between(Option<BufReader<R>>),
    Inside(Box<Frame<R>>),
}

/// A frame's first four bytes have been looked at, and are put before the rest again.
type Frame<R> = StreamingDecoder<Chain<Cursor<[u8; 4]>, BufReader<R>>, FrameDecoder>;

/// The largest window: what `zstd --ultra -22` uses. A frame that asks for more is refused before memory is taken.
const WINDOW: u64 = 128 << 20;

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            let reader = match std::mem::replace(self, Frames::Between(None)) {
                Frames::Inside(mut frame) => {
                    let count = frame.read(into)?;
                    if count > 0 {
                        *self = Frames::Inside(frame);
                        return Ok(count);
                    }
                    Some(frame.into_inner().into_inner().1)
                }
                Frames::Between(reader) => reader,
            };
            let Some(mut reader) = reader else { return Ok(0) };
            let mut magic = [0; 4];
            if reader.fill_buf()?.is_empty() {
                return Ok(0);
            }
            reader.read_exact(&mut magic)?;
            if matches!(magic, [0x50..=0x5f, 0x2a, 0x4d, 0x18]) {
                skip_frame(&mut reader)?;
                *self = Frames::Between(Some(reader));
                continue;
            }
            let whole = Cursor::new(magic).chain(reader);
            let frame =
                StreamingDecoder::new_with_max_window_size(whole, WINDOW).map_err(io::Error::other)?;
            *self = Frames::Inside(Box::new(frame));
        }
    }
}

/// Skips the rest of a frame that holds nothing for us.
fn skip_frame(reader: &mut impl Read) -> io::Result<()> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let length = u64::from(u32::from_le_bytes(length));
    let skipped = io::copy(&mut reader.take(length), &mut io::sink())?;
    if skipped < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn whole(packed: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        unpack(packed, Packing::of(packed)).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn streams_of_several_parts_unfold() {
        let text = b"all that is in it, all that is in it".repeat(5000);
        let skippable = [0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let twice = [text.clone(), text.clone()].concat();
        assert_eq!(whole(&text).unwrap(), text);
        assert_eq!(whole(&[gzip(&text), gzip(&text)].concat()).unwrap(), twice);
        assert_eq!(whole(&[zstd(&text), zstd(&text)].concat()).unwrap(), twice);
        let mixed = [&skippable[..], &zstd(&text), &skippable, &skippable, &zstd(&text), &skippable].concat();
        assert_eq!(whole(&mixed).unwrap(), twice);
        assert_eq!(whole(b"").unwrap(), b"");
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let text: Vec<u8> = (0..100_000u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
        for packed in [gzip(&text), zstd(&text)] {
            for keep in [packed.len() - 1, packed.len() / 2, 5] {
                assert!(whole(&packed[..keep]).is_err(), "{keep} of {}", packed.len());
            }
        }
        assert!(whole(&[0x50, 0x2a, 0x4d, 0x18, 200, 0, 0, 0, 1]).is_err());
        // A window of 2 GiB, asked for in six bytes.
        assert!(whole(&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0, 0, 0]).is_err());
    }
}
