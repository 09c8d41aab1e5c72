//! Server-Sent Events, read as bytes arrive (WHATWG HTML §9.2.6).
//!
//! Two differences from a browser, both on purpose: a frame that carries only an `id:` is reported, because it moves
//! the cursor; and bytes that are not UTF-8 are an error, because a changed event is worse than none. Memory is
//! bounded: a frame above [`FRAME_BYTES_MAX`] is an error.

/// Bytes of one frame: an event of the largest size with its evidence, as hex in JSON in JSON.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What was between two blank lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The last `id:`.
    pub id: Option<String>,
    /// The last `event:`.
    pub event: Option<String>,
    /// The `data:` lines, joined by newlines.
    pub data: Option<String>,
}

/// Why bytes are not events.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SseError {
    /// A frame without end.
    #[error("an event above {FRAME_BYTES_MAX} bytes")]
    Oversize,
    /// Not UTF-8.
    #[error("an event that is not UTF-8")]
    Encoding,
}

/// The state between two pieces of a stream.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    frame: Frame,
    frame_bytes: usize,
    after_return: bool,
    begun: bool,
}

impl Parser {
    /// At the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and appends the frames that they complete to `frames`. After an error the stream is of
    /// no more use.
    pub fn push(&mut self, mut bytes: &[u8], frames: &mut Vec<Frame>) -> Result<(), SseError> {
        while !bytes.is_empty() {
            // A line ends in LF, CR or CR LF; the LF of a CR LF may come with the next bytes.
            if std::mem::take(&mut self.after_return) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = &bytes[..end.unwrap_or(bytes.len())];
            if self.line.len() + part.len() + self.frame_bytes > FRAME_BYTES_MAX {
                return Err(SseError::Oversize);
            }
            self.line.extend_from_slice(part);
            let Some(end) = end else { break };
            self.after_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut self.line);
            self.end_line(&line, frames)?;
            // Keep the buffer: most lines are alike in size.
            self.line = line;
            self.line.clear();
        }
        Ok(())
    }

    fn end_line(&mut self, line: &[u8], frames: &mut Vec<Frame>) -> Result<(), SseError> {
        let mut line = std::str::from_utf8(line).map_err(|_| SseError::Encoding)?;
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            self.frame_bytes = 0;
            let frame = std::mem::take(&mut self.frame);
            if frame.data.is_some() || frame.id.is_some() {
                frames.push(frame);
            }
            return Ok(());
        }
        let (field, value) = match line.split_once(':') {
            Some((field, value)) => (field, value.strip_prefix(' ').unwrap_or(value)),
            None => (line, ""),
        };
        match field {
            "id" if !value.contains('\0') => self.frame.id = Some(value.into()),
            "event" => self.frame.event = Some(value.into()),
            "data" => match &mut self.frame.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.frame.data = Some(value.into()),
            },
            // Comments (keep-alives) and unknown fields. They are not kept, so they do not count.
            _ => return Ok(()),
        }
        self.frame_bytes += line.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(id: Option<&str>, event: Option<&str>, data: Option<&str>) -> Frame {
        Frame { id: id.map(Into::into), event: event.map(Into::into), data: data.map(Into::into) }
    }

    fn parse(pieces: &[&[u8]]) -> Result<Vec<Frame>, SseError> {
        let (mut parser, mut frames) = (Parser::new(), Vec::new());
        pieces.iter().try_for_each(|piece| parser.push(piece, &mut frames)).map(|()| frames)
    }

    #[test]
    fn each_text_gives_its_frames_however_it_is_cut() {
        let whole = frame(Some("7.0.1"), Some("chancery.asset.minted"), Some("{}"));
        let table: &[(&str, Vec<Frame>)] = &[
            ("id: 7.0.1\nevent: chancery.asset.minted\ndata: {}\n\n", vec![whole.clone()]),
            ("id: 7.0.1\r\nevent: chancery.asset.minted\r\ndata: {}\r\n\r\n", vec![whole.clone()]),
            ("id: 7.0.1\revent: chancery.asset.minted\rdata: {}\r\r", vec![whole]),
            ("\u{feff}data: 1\n\n", vec![frame(None, None, Some("1"))]),
            ("data: 1\ndata: 2\n\n", vec![frame(None, None, Some("1\n2"))]),
            ("data\n\n", vec![frame(None, None, Some(""))]),
            ("data:  two\n\n", vec![frame(None, None, Some(" two"))]),
            ("data:none\n\n", vec![frame(None, None, Some("none"))]),
            (": keep-alive\n\n", vec![]),
            (": a\ndata: 1\n: b\n\n", vec![frame(None, None, Some("1"))]),
            ("retry: 100\nother: x\n\n", vec![]),
            ("event: problem\n\n", vec![]),
            ("id: 9.0.0\n\n", vec![frame(Some("9.0.0"), None, None)]),
            ("id: a\0b\ndata: 1\n\n", vec![frame(None, None, Some("1"))]),
            ("data: cut off\n", vec![]),
            ("data: 1\n\ndata: é\n\n", vec![frame(None, None, Some("1")), frame(None, None, Some("é"))]),
        ];
        for (text, frames) in table {
            assert_eq!(parse(&[text.as_bytes()]).as_ref(), Ok(frames), "{text:?}");
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(parse(&bytes).as_ref(), Ok(frames), "{text:?} byte by byte");
            for at in 0..text.len() {
                let (one, two) = text.as_bytes().split_at(at);
                assert_eq!(parse(&[one, two]).as_ref(), Ok(frames), "{text:?} cut at {at}");
            }
        }
    }

    #[test]
    fn frames_without_end_and_other_encodings_are_refused() {
        let line = [b"data: ".as_slice(), &[b'x'; 1024 * 1024], b"\n"].concat();
        assert_eq!(parse(&[line.as_slice(); 9]), Err(SseError::Oversize), "many lines");
        assert_eq!(parse(&[&line[..line.len() - 1]; 9]), Err(SseError::Oversize), "one line");
        assert_eq!(parse(&[b"data: \xff\n"]), Err(SseError::Encoding));
        let comment = [b":".as_slice(), &[b'x'; 1024 * 1024], b"\n"].concat();
        assert_eq!(parse(&[comment.as_slice(); 20]), Ok(vec![]), "comments are not kept");
    }
}
