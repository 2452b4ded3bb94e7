use base::Digest;
use bytes::Bytes;

/// The largest logo that is read.
pub(crate) const BYTES_MAX: usize = 64 * 1024;

/// The longest side that is shown: a few bytes can say they are a picture of a gigapixel.
const PIXELS_MAX: u32 = 2048;

/// A picture of a client, fetched by us and served from our own origin, so that nobody is tracked by it and it cannot
/// change after it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logo {
    /// What its first bytes say it is; its host's word for it does not count.
    pub content_type: &'static str,
    /// The picture as it came.
    pub bytes: Bytes,
    pub(crate) digest: Digest,
}

/// Reads a picture. Only kinds that can hold no script: PNG, JPEG, GIF and WebP, never SVG.
///
/// It is not decoded and encoded again: a decoder of four formats would be the largest piece of code that strangers
/// can feed here, while the browser that shows it keeps its own in a sandbox, and `nosniff` keeps it a picture.
pub(crate) fn read(bytes: &[u8]) -> Result<Logo, String> {
    let (content_type, size) = if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        ("image/png", png_size(bytes))
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        ("image/jpeg", jpeg_size(bytes))
    } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        ("image/gif", gif_size(bytes))
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        ("image/webp", webp_size(bytes))
    } else {
        return Err("it is no PNG, JPEG, GIF or WebP picture".to_owned());
    };
    let (width, height) = size.ok_or_else(|| "it does not say how large it is".to_owned())?;
    let fits = |side| (1..=PIXELS_MAX).contains(&side);
    if !fits(width) || !fits(height) {
        return Err(format!("it is {width} by {height} pixels large"));
    }
    Ok(Logo {
        content_type,
        bytes: Bytes::copy_from_slice(bytes),
        digest: Digest::of(bytes),
    })
}

fn big_endian(bytes: &[u8], at: usize, length: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + length)?;
    Some(
        bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u32::from(*byte)),
    )
}

fn little_endian(bytes: &[u8], at: usize, length: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + length)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u32::from(*byte)),
    )
}

fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    (bytes.get(12..16)? == b"IHDR")
        .then(|| Some((big_endian(bytes, 16, 4)?, big_endian(bytes, 20, 4)?)))?
}

fn gif_size(bytes: &[u8]) -> Option<(u32, u32)> {
    Some((little_endian(bytes, 6, 2)?, little_endian(bytes, 8, 2)?))
}

/// From segment to segment until the one that begins a frame.
fn jpeg_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        if *bytes.get(at)? != 0xff {
            return None;
        }
        let marker = *bytes.get(at + 1)?;
        match marker {
            // Padding.
            0xff => at += 1,
            0x01 | 0xd0..=0xd8 => at += 2,
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Some((big_endian(bytes, at + 7, 2)?, big_endian(bytes, at + 5, 2)?));
            }
            _ => {
                let length = usize::try_from(big_endian(bytes, at + 2, 2)?).ok()?;
                if length < 2 {
                    return None;
                }
                at += 2 + length;
            }
        }
    }
}

fn webp_size(bytes: &[u8]) -> Option<(u32, u32)> {
    match bytes.get(12..16)? {
        b"VP8X" => Some((
            little_endian(bytes, 24, 3)? + 1,
            little_endian(bytes, 27, 3)? + 1,
        )),
        b"VP8L" => {
            let packed = little_endian(bytes, 21, 4)?;
            Some(((packed & 0x3fff) + 1, (packed >> 14 & 0x3fff) + 1))
        }
        b"VP8 " => Some((
            little_endian(bytes, 26, 2)? & 0x3fff,
            little_endian(bytes, 28, 2)? & 0x3fff,
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes
    }

    fn jpeg(width: u16, height: u16) -> Vec<u8> {
        let mut bytes = b"\xff\xd8\xff\xe0\0\x04xx\xff\xff\xc0\0\x11\x08".to_vec();
        bytes.extend(height.to_be_bytes());
        bytes.extend(width.to_be_bytes());
        bytes
    }

    fn gif(width: u16, height: u16) -> Vec<u8> {
        let mut bytes = b"GIF89a".to_vec();
        bytes.extend(width.to_le_bytes());
        bytes.extend(height.to_le_bytes());
        bytes
    }

    fn webp(width: u16, height: u16) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a".to_vec();
        bytes.extend(width.to_le_bytes());
        bytes.extend(height.to_le_bytes());
        bytes
    }

    #[test]
    fn a_picture_is_what_its_first_bytes_say_and_of_a_size_that_can_be_shown() {
        for (bytes, content_type) in [
            (png(64, 2048), "image/png"),
            (jpeg(64, 2048), "image/jpeg"),
            (gif(64, 2048), "image/gif"),
            (webp(64, 2048), "image/webp"),
        ] {
            let logo = read(&bytes).unwrap();
            assert_eq!(logo.content_type, content_type);
            assert_eq!(logo.bytes, bytes);
        }
        for bytes in [
            png(64, 2049),
            png(0, 64),
            png(u32::MAX, u32::MAX),
            jpeg(2049, 64),
            gif(2049, 64),
            webp(2049, 64),
        ] {
            assert!(read(&bytes).is_err(), "{bytes:x?}");
        }
    }

    #[test]
    fn what_can_hold_a_script_or_breaks_off_is_no_picture() {
        for bytes in [
            &b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>1</script></svg>"[..],
            b"<?xml version=\"1.0\"?><svg/>",
            b"<html>",
            b"%PDF-1.7",
            b"",
            b"\x89PNG\r\n\x1a\n",
            b"\xff\xd8\xff",
            b"\xff\xd8\xff\xe0\0\0",
            b"\xff\xd8\xff\xe0\xff\xff",
            b"GIF89a",
            b"RIFF\0\0\0\0WEBP",
            b"RIFF\0\0\0\0WAVEVP8X",
        ] {
            assert!(read(bytes).is_err(), "{bytes:x?}");
        }
    }

    #[test]
    fn no_beginning_of_a_picture_makes_us_read_beyond_its_end() {
        for whole in [png(1, 1), jpeg(1, 1), gif(1, 1), webp(1, 1)] {
            for length in 0..whole.len() {
                assert!(read(&whole[..length]).is_err());
            }
        }
    }
}
