//! Which device the user means.

use super::{DeviceInfo, Way};

/// The place in `list` of the device that `wanted` means for `way`: its whole identifier or name, its number in the list
/// (from 1), or a part of either that only one device has.
///
/// # Errors
/// A sentence that lists what there is, or the several that it could be.
pub(super) fn choose(list: &[DeviceInfo], way: Way, wanted: &str) -> Result<usize, String> {
    let able = |info: &DeviceInfo| match way {
        Way::In => info.input.is_some(),
        Way::Out => info.output.is_some(),
    };
    let places = || list.iter().enumerate().filter(|(_, info)| able(info));
    let exact = |info: &DeviceInfo| info.id == wanted || info.name == wanted;
    if let Some((place, _)) = places().find(|(_, info)| exact(info)) {
        return Ok(place);
    }
    let numbered = wanted.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    if let Some((place, _)) = places().find(|(place, _)| numbered == Some(*place)) {
        return Ok(place);
    }
    let lower = wanted.to_lowercase();
    let has = |text: &str| text.to_lowercase().contains(&lower);
    let alike: Vec<usize> =
        places().filter(|(_, info)| has(&info.id) || has(&info.name)).map(|(place, _)| place).collect();
    let shown = |places: &[usize]| {
        let shown = places.iter().filter_map(|place| Some((place, list.get(*place)?)));
        shown.map(|(place, info)| format!("{} {} ({})", place + 1, info.id, info.name)).collect::<Vec<_>>().join(", ")
    };
    let all: Vec<usize> = places().map(|(place, _)| place).collect();
    match alike.as_slice() {
        [one] => Ok(*one),
        [] if all.is_empty() => Err(format!("there is no \"{wanted}\", and no other either")),
        [] => Err(format!("there is no \"{wanted}\"; there are {}", shown(&all))),
        several => Err(format!("\"{wanted}\" could be several: {}; name one of them", shown(several))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(id: &str, name: &str, input: bool, output: bool) -> DeviceInfo {
        let rates = |able: bool| able.then_some((8_000, 48_000));
        DeviceInfo {
            id: id.into(),
            name: name.into(),
            input: rates(input),
            output: rates(output),
            default_input: false,
            default_output: false,
        }
    }

    fn list() -> Vec<DeviceInfo> {
        vec![
            device("default", "Default Device", true, true),
            device("hw:CARD=Headset,DEV=0", "Jabra Evolve", true, true),
            device("hw:CARD=PCH,DEV=0", "HDA Analog", true, true),
            device("hw:CARD=PCH,DEV=3", "HDA HDMI", false, true),
        ]
    }

    #[test]
    fn a_device_is_known_by_its_identifier_name_number_or_a_part_that_no_other_has() {
        let rows = [
            ("default", 0),
            ("hw:CARD=PCH,DEV=3", 3),
            ("Jabra Evolve", 1),
            ("jabra", 1),
            ("headset", 1),
            ("hdmi", 3),
            ("2", 1),
            ("4", 3),
        ];
        for (wanted, place) in rows {
            assert_eq!(choose(&list(), Way::Out, wanted), Ok(place), "{wanted}");
        }
        // What cannot record is not meant for it.
        assert_eq!(choose(&list(), Way::In, "hda"), Ok(2));
    }

    #[test]
    fn what_is_not_there_or_could_be_several_is_told_with_what_there_is() {
        let why = choose(&list(), Way::In, "speaker").unwrap_err();
        assert!(why.contains("\"speaker\"") && why.contains("2 hw:CARD=Headset") && !why.contains("HDMI"), "{why}");
        let why = choose(&list(), Way::Out, "hda").unwrap_err();
        assert!(why.contains("3 hw:CARD=PCH,DEV=0") && why.contains("HDMI") && !why.contains("Jabra"), "{why}");
        assert!(choose(&list(), Way::Out, "5").unwrap_err().contains("there is no \"5\""));
        assert!(choose(&[], Way::Out, "x").unwrap_err().contains("no other"));
    }
}
